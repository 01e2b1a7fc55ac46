/*
 * frame_source: a JACK client whose every sample is its own JACK frame number.
 *
 * Channel c (counted from 0) of frame f carries ((f + c * 65537) mod 2^23) / 2^23. The value is exact in float32 and
 * in 24-bit integers, so whoever records it can prove for every single sample where it belongs. 2^23 divides 2^32:
 * the values run on when JACK's 32-bit frame counter wraps.
 *
 *     frame_source [--server NAME] --name CLIENT --channels N [--first-channel K]
 *
 * registers the outputs out_1 .. out_N, carrying the channels K .. K+N-1, and prints one line "ready" when JACK calls it.
 * It ends with status 0 on SIGTERM, on SIGINT and when its standard input closes (so that nothing stays behind when
 * the test that started it dies), 1 when JACK cannot be reached, 2 on wrong options and 3 when the server goes away.
 *
 * The libjack prototypes are declared here: the tests need libjack.so.0, and no headers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

typedef uint32_t jack_nframes_t;
typedef struct _jack_client jack_client_t;
typedef struct _jack_port jack_port_t;

enum { JackNoStartServer = 0x01, JackUseExactName = 0x02, JackServerName = 0x04 };
enum { JackPortIsOutput = 0x02, JackPortIsTerminal = 0x10 };

extern jack_client_t *jack_client_open(const char *name, int options, int *status, ...);
extern int jack_client_close(jack_client_t *client);
extern int jack_activate(jack_client_t *client);
extern jack_port_t *jack_port_register(jack_client_t *client, const char *name, const char *type,
                                       unsigned long flags, unsigned long buffer_size);
extern void *jack_port_get_buffer(jack_port_t *port, jack_nframes_t frames);
extern jack_nframes_t jack_last_frame_time(const jack_client_t *client);
extern int jack_set_process_callback(jack_client_t *client, int (*callback)(jack_nframes_t, void *), void *arg);
extern void jack_on_shutdown(jack_client_t *client, void (*callback)(void *), void *arg);

enum { MAX_CHANNELS = 1024, FRAME_MASK = (1 << 23) - 1, CHANNEL_STEP = 65537 };
enum { DONE = 0, NO_JACK = 1, USAGE = 2, SERVER_GONE = 3 };

struct source {
	jack_client_t *client;
	jack_port_t *ports[MAX_CHANNELS];
	uint32_t channels;
	uint32_t first_channel;
	int running; /* eventfd, written at the first cycle */
	int gone;    /* eventfd, written when the server goes */
};

static void raise_event(int fd)
{
	const uint64_t one = 1;
	if (write(fd, &one, sizeof one) < 0)
		abort(); /* an eventfd that nobody overflows cannot refuse */
}

/* Real-time thread. The one system call is made once, at the first cycle: that is what "ready" means. */
static int process(jack_nframes_t frames, void *arg)
{
	struct source *source = arg;
	const uint32_t first = jack_last_frame_time(source->client);

	for (uint32_t port = 0; port < source->channels; port++) {
		float *out = jack_port_get_buffer(source->ports[port], frames);
		const uint32_t base = first + (source->first_channel + port) * CHANNEL_STEP;
		for (uint32_t i = 0; i < frames; i++)
			out[i] = (float)((base + i) & FRAME_MASK) / (float)(FRAME_MASK + 1);
	}
	if (source->running >= 0) {
		raise_event(source->running);
		source->running = -1;
	}
	return 0;
}

/* Runs as a signal handler would: nothing but a flag. */
static void shutdown_callback(void *arg)
{
	raise_event(((struct source *)arg)->gone);
}

static void usage(FILE *out)
{
	fprintf(out, "usage: frame_source [--server NAME] --name CLIENT --channels N [--first-channel K]\n");
}

/* A whole number in [least, most], or the end of the program with a message that says so. */
static uint32_t number(const char *option, const char *text, long least, long most)
{
	char *end = NULL;
	errno = 0;
	const long value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < least || value > most) {
		fprintf(stderr, "frame_source: %s must be a whole number from %ld to %ld, not \"%s\"\n", option, least,
		        most, text);
		exit(USAGE);
	}
	return (uint32_t)value;
}

/* Waits for the ends of this program; `running` is reported once on the way. */
static int wait_for_end(int signals, int running, int gone)
{
	struct pollfd wait[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = gone, .events = POLLIN },
		{ .fd = running, .events = POLLIN },
	};
	for (;;) {
		if (poll(wait, sizeof wait / sizeof *wait, -1) < 0) {
			if (errno == EINTR)
				continue;
			perror("frame_source: poll");
			return NO_JACK;
		}
		if (wait[0].revents)
			return DONE;
		if (wait[1].revents) {
			char ignored[256];
			if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
				return DONE;
		}
		if (wait[2].revents) {
			fprintf(stderr, "frame_source: the JACK server has gone\n");
			return SERVER_GONE;
		}
		if (wait[3].revents) {
			wait[3].fd = -1;
			puts("ready");
			fflush(stdout);
		}
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' },        { "name", required_argument, NULL, 'n' },
		{ "channels", required_argument, NULL, 'c' },      { "first-channel", required_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },                { NULL, 0, NULL, 0 },
	};
	static struct source source; /* outlives main: a callback may still run while the process ends */
	const char *server = NULL;
	const char *name = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's': server = optarg; break;
		case 'n': name = optarg; break;
		case 'c': source.channels = number("--channels", optarg, 1, MAX_CHANNELS); break;
		case 'f': source.first_channel = number("--first-channel", optarg, 0, 65535); break;
		case 'h': usage(stdout); return DONE;
		default: usage(stderr); return USAGE;
		}
	}
	if (!name || !*name || !source.channels || optind != argc) {
		fprintf(stderr, "frame_source: --name and --channels are needed, and nothing beside options\n");
		usage(stderr);
		return USAGE;
	}

	/* Before libjack starts threads, so that all of them leave these signals to the loop below. */
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	signal(SIGPIPE, SIG_IGN);
	const int signals = signalfd(-1, &ends, SFD_CLOEXEC);
	const int running = eventfd(0, EFD_CLOEXEC);
	source.running = running;
	source.gone = eventfd(0, EFD_CLOEXEC);
	if (signals < 0 || running < 0 || source.gone < 0) {
		perror("frame_source");
		return NO_JACK;
	}

	int status = 0;
	const int how = JackNoStartServer | JackUseExactName;
	source.client = server ? jack_client_open(name, how | JackServerName, &status, server)
	                       : jack_client_open(name, how, &status);
	if (!source.client) {
		fprintf(stderr, "frame_source: cannot be the client \"%s\" of the JACK server \"%s\" (status 0x%x)\n", name,
		        server ? server : "of the environment", (unsigned)status);
		return NO_JACK;
	}
	jack_set_process_callback(source.client, process, &source);
	jack_on_shutdown(source.client, shutdown_callback, &source);
	for (uint32_t port = 0; port < source.channels; port++) {
		char port_name[32];
		snprintf(port_name, sizeof port_name, "out_%u", port + 1);
		source.ports[port] = jack_port_register(source.client, port_name, "32 bit float mono audio",
		                                        JackPortIsOutput | JackPortIsTerminal, 0);
		if (!source.ports[port]) {
			fprintf(stderr, "frame_source: JACK has no room for the port %s\n", port_name);
			return NO_JACK;
		}
	}
	if (jack_activate(source.client)) {
		fprintf(stderr, "frame_source: JACK does not activate the client\n");
		return NO_JACK;
	}

	const int end = wait_for_end(signals, running, source.gone);
	if (end != SERVER_GONE) /* closing a client of a dead server may wait for an answer that never comes */
		jack_client_close(source.client);
	return end;
}
