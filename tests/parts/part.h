/*
 * What the test parts in C share: libjack's declarations, options, an event log, and a main loop with line commands.
 *
 * Every part opens one client, prints one line "ready" when JACK calls it, and then answers each line on its standard
 * input with exactly one line on its standard output ("error REASON" when it refuses). It ends with status 0 on
 * SIGTERM, on SIGINT and when its standard input closes (so that nothing stays behind when the test that started it
 * dies), 1 when JACK cannot be reached, 2 on wrong options, 3 when the server goes away and 4 when its log is not
 * complete.
 *
 * The libjack prototypes are declared here: the tests need libjack.so.0, and no headers.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

typedef uint32_t jack_nframes_t;
typedef uint64_t jack_time_t;
typedef struct _jack_client jack_client_t;
typedef struct _jack_port jack_port_t;

typedef struct {
	jack_nframes_t time;
	size_t size;
	unsigned char *buffer;
} jack_midi_event_t;

typedef struct {
	jack_nframes_t min;
	jack_nframes_t max;
} jack_latency_range_t;

enum { JackNoStartServer = 0x01, JackUseExactName = 0x02, JackServerName = 0x04 };
enum { JackPortIsInput = 0x01, JackPortIsOutput = 0x02, JackPortIsTerminal = 0x10 };
enum { JackCaptureLatency = 0, JackPlaybackLatency = 1 };
#define JACK_AUDIO "32 bit float mono audio"
#define JACK_MIDI "8 bit raw midi"

extern jack_client_t *jack_client_open(const char *name, int options, int *status, ...);
extern int jack_client_close(jack_client_t *client);
extern int jack_activate(jack_client_t *client);
extern void jack_on_shutdown(jack_client_t *client, void (*callback)(void *), void *arg);
extern int jack_set_process_callback(jack_client_t *client, int (*callback)(jack_nframes_t, void *), void *arg);
extern int jack_set_xrun_callback(jack_client_t *client, int (*callback)(void *), void *arg);
extern int jack_set_latency_callback(jack_client_t *client, void (*callback)(int, void *), void *arg);
/* jack_position_t of libjack 1.9.21, and room for what later ones append. */
struct jack_position {
	uint64_t unique_1, usecs;
	uint32_t frame_rate, frame;
	uint32_t valid; /* 0x10: bar to beats_per_minute */
	int32_t bar, beat, tick;
	double bar_start_tick;
	float beats_per_bar, beat_type;
	double ticks_per_beat, beats_per_minute;
	unsigned char rest[256];
} __attribute__((packed));

extern jack_port_t *jack_port_register(jack_client_t *client, const char *name, const char *type,
                                       unsigned long flags, unsigned long buffer_size);
extern void *jack_port_get_buffer(jack_port_t *port, jack_nframes_t frames);
extern int jack_port_connected(const jack_port_t *port);
extern void jack_port_set_latency_range(jack_port_t *port, int mode, jack_latency_range_t *range);
extern void jack_port_get_latency_range(jack_port_t *port, int mode, jack_latency_range_t *range);
extern jack_port_t *jack_port_by_name(jack_client_t *client, const char *name);
extern const char **jack_port_get_all_connections(const jack_client_t *client, const jack_port_t *port);
extern void jack_free(void *memory);
extern int jack_recompute_total_latencies(jack_client_t *client);
extern int jack_connect(jack_client_t *client, const char *source, const char *target);
extern int jack_disconnect(jack_client_t *client, const char *source, const char *target);
extern jack_nframes_t jack_last_frame_time(const jack_client_t *client);
extern jack_nframes_t jack_frame_time(const jack_client_t *client);
extern jack_time_t jack_frames_to_time(const jack_client_t *client, jack_nframes_t frame);
extern jack_nframes_t jack_time_to_frames(const jack_client_t *client, jack_time_t usecs);
extern jack_time_t jack_get_time(void);
extern jack_nframes_t jack_get_sample_rate(jack_client_t *client);
extern jack_nframes_t jack_get_buffer_size(jack_client_t *client);
extern int jack_set_buffer_size(jack_client_t *client, jack_nframes_t frames);
extern int jack_set_freewheel(jack_client_t *client, int on);
extern void jack_transport_start(jack_client_t *client);
extern void jack_transport_stop(jack_client_t *client);
extern int jack_transport_locate(jack_client_t *client, jack_nframes_t frame);
extern int jack_transport_query(const jack_client_t *client, struct jack_position *position);
extern int jack_set_timebase_callback(jack_client_t *client, int conditional,
                                      void (*callback)(int state, jack_nframes_t frames, struct jack_position *position,
                                                       int is_new, void *arg),
                                      void *arg);
extern jack_nframes_t jack_get_current_transport_frame(const jack_client_t *client);
extern void jack_midi_clear_buffer(void *buffer);
extern int jack_midi_event_write(void *buffer, jack_nframes_t time, const unsigned char *bytes, size_t size);
extern size_t jack_midi_max_event_size(void *buffer);
extern uint32_t jack_midi_get_event_count(void *buffer);
extern int jack_midi_event_get(jack_midi_event_t *event, void *buffer, uint32_t index);
extern uint32_t jack_midi_get_lost_event_count(void *buffer);

enum { DONE = 0, NO_JACK = 1, USAGE = 2, SERVER_GONE = 3, LOG_INCOMPLETE = 4 };
enum { TICK_MILLISECONDS = 2, LINE_BYTES = 4096 };

struct part {
	const char *program;
	const char *server; /* NULL: libjack's default */
	const char *name;
	jack_client_t *client;
	int signals; /* signalfd */
	int running; /* eventfd, written at the first cycle */
	int gone;    /* eventfd, written when the server goes */
	bool called; /* by JACK; the process callback's own */
};

/* Says what is wrong, as printf does, and ends the program. */
__attribute__((noreturn, format(printf, 3, 4))) static inline void fail(const struct part *part, int status,
                                                                        const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fprintf(stderr, "%s: ", part->program);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(status);
}

/* Answers a command with one line, as printf does. */
__attribute__((format(printf, 1, 2))) static inline void answer(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

/* A number in [least, most], or the end of the program with a message that says so. */
static inline double decimal(const struct part *part, const char *option, const char *text, double least, double most)
{
	char *end = NULL;
	errno = 0;
	const double value = strtod(text, &end);
	if (errno || end == text || *end || !(value >= least && value <= most))
		fail(part, USAGE, "%s must be a number from %g to %g, not \"%s\"", option, least, most, text);
	return value;
}

/* A whole number in [least, most], or the end of the program with a message that says so. */
static inline uint32_t whole(const struct part *part, const char *option, const char *text, uint32_t least,
                             uint32_t most)
{
	char *end = NULL;
	errno = 0;
	const long long value = strtoll(text, &end, 10);
	if (errno || end == text || *end || value < least || value > most)
		fail(part, USAGE, "%s must be a whole number from %u to %u, not \"%s\"", option, least, most, text);
	return (uint32_t)value;
}

static inline void raise_event(int fd)
{
	const uint64_t one = 1;
	if (write(fd, &one, sizeof one) < 0)
		abort(); /* an eventfd that nobody overflows cannot refuse */
}

/* First thing in every process callback. The one system call is made once: that is what "ready" means. */
static inline void part_is_called(struct part *part)
{
	if (!part->called) {
		part->called = true;
		raise_event(part->running);
	}
}

/* Runs as a signal handler would: nothing but a flag. */
static inline void part_shutdown(void *part)
{
	raise_event(((struct part *)part)->gone);
}

/* Opens the client; ends the program when that cannot be. */
static inline void part_open(struct part *part)
{
	if (!part->name || !*part->name)
		fail(part, USAGE, "--name is needed");

	/* Before libjack starts threads, so that all of them leave these signals to the main loop. */
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	signal(SIGPIPE, SIG_IGN);
	part->signals = signalfd(-1, &ends, SFD_CLOEXEC);
	part->running = eventfd(0, EFD_CLOEXEC);
	part->gone = eventfd(0, EFD_CLOEXEC);
	if (part->signals < 0 || part->running < 0 || part->gone < 0)
		fail(part, NO_JACK, "%s", strerror(errno));

	int status = 0;
	const int how = JackNoStartServer | JackUseExactName;
	part->client = part->server ? jack_client_open(part->name, how | JackServerName, &status, part->server)
	                            : jack_client_open(part->name, how, &status);
	if (!part->client)
		fail(part, NO_JACK, "cannot be the client \"%s\" of the JACK server \"%s\" (status 0x%x)", part->name,
		     part->server ? part->server : "of the environment", (unsigned)status);
	jack_on_shutdown(part->client, part_shutdown, part);
}

static inline jack_port_t *part_port(struct part *part, const char *name, const char *type, unsigned long flags)
{
	jack_port_t *port = jack_port_register(part->client, name, type, flags, 0);
	if (!port)
		fail(part, NO_JACK, "JACK has no room for the port %s", name);
	return port;
}

static inline void part_activate(struct part *part)
{
	if (jack_activate(part->client))
		fail(part, NO_JACK, "JACK does not activate the client");
}

/* Reads what there is of standard input and calls `command` for each whole line; false at its end. */
static inline bool part_read_lines(struct part *part, void (*command)(char *line))
{
	static char lines[LINE_BYTES];
	static size_t held;
	const ssize_t count = read(STDIN_FILENO, lines + held, sizeof lines - held);
	if (count <= 0)
		return false;
	held += (size_t)count;
	char *end;
	while ((end = memchr(lines, '\n', held))) {
		const size_t length = (size_t)(end - lines) + 1;
		*end = 0;
		command(lines);
		held -= length;
		memmove(lines, lines + length, held);
	}
	if (held == sizeof lines)
		fail(part, USAGE, "a command has more than %d bytes", LINE_BYTES);
	return true;
}

/* Runs until the program shall end, and returns its status. `tick` (may be NULL) is called every few milliseconds. */
static inline int part_run(struct part *part, void (*command)(char *line), void (*tick)(void))
{
	struct pollfd wait[] = {
		{ .fd = part->signals, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = part->gone, .events = POLLIN },
		{ .fd = part->running, .events = POLLIN },
	};
	for (;;) {
		if (poll(wait, sizeof wait / sizeof *wait, tick ? TICK_MILLISECONDS : -1) < 0 && errno != EINTR)
			fail(part, NO_JACK, "poll: %s", strerror(errno));
		if (tick)
			tick();
		if (wait[0].revents)
			return DONE;
		if (wait[2].revents) {
			fprintf(stderr, "%s: the JACK server has gone\n", part->program);
			return SERVER_GONE;
		}
		if (wait[3].revents) {
			wait[3].fd = -1;
			answer("ready");
		}
		if (wait[1].revents && !part_read_lines(part, command))
			return DONE;
	}
}

/* After this no callback runs. */
static inline void part_close(struct part *part, int end)
{
	if (end != SERVER_GONE) /* closing a client of a dead server may wait for an answer that never comes */
		jack_client_close(part->client);
}

/*
 * The event log: the process callback puts records into a ring, the main loop drains it into the file. One record is
 * the u64 JACK frame (the 32-bit value), the u32 number of bytes, and the bytes: little endian, no padding.
 */
enum { RING_BYTES = 1 << 24, RECORD_HEAD = 12 };

struct event_log {
	int file;
	atomic_size_t written; /* by the process callback; counts on, the place is modulo RING_BYTES */
	atomic_size_t drained; /* by the main loop */
	unsigned char ring[RING_BYTES];
};

static inline void log_open(const struct part *part, struct event_log *log, const char *path)
{
	if (!path)
		fail(part, USAGE, "--log is needed");
	log->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (log->file < 0)
		fail(part, USAGE, "cannot write the log %s: %s", path, strerror(errno));
	memset(log->ring, 1, sizeof log->ring); /* so that the process callback meets no page fault */
}

static inline bool log_has_room(struct event_log *log, size_t bytes)
{
	const size_t used = atomic_load_explicit(&log->written, memory_order_relaxed) -
	                    atomic_load_explicit(&log->drained, memory_order_acquire);
	return RECORD_HEAD + bytes <= RING_BYTES - used;
}

static inline size_t log_copy(struct event_log *log, size_t place, const void *bytes, size_t count)
{
	const size_t at = place % RING_BYTES;
	const size_t first = count < RING_BYTES - at ? count : RING_BYTES - at;
	memcpy(log->ring + at, bytes, first);
	memcpy(log->ring, (const unsigned char *)bytes + first, count - first);
	return place + count;
}

/* From the process callback, after log_has_room. */
static inline void log_put(struct event_log *log, jack_nframes_t frame, const unsigned char *bytes, size_t count)
{
	const uint64_t frame_out = htole64(frame);
	const uint32_t count_out = htole32((uint32_t)count);
	size_t place = atomic_load_explicit(&log->written, memory_order_relaxed);
	place = log_copy(log, place, &frame_out, sizeof frame_out);
	place = log_copy(log, place, &count_out, sizeof count_out);
	place = log_copy(log, place, bytes, count);
	atomic_store_explicit(&log->written, place, memory_order_release);
}

/* From the main loop: all that is in the ring goes into the file. */
static inline void log_drain(const struct part *part, struct event_log *log)
{
	const size_t end = atomic_load_explicit(&log->written, memory_order_acquire);
	size_t place = atomic_load_explicit(&log->drained, memory_order_relaxed);
	while (place != end) {
		const size_t at = place % RING_BYTES;
		const size_t most = RING_BYTES - at;
		const ssize_t count = write(log->file, log->ring + at, end - place < most ? end - place : most);
		if (count < 0)
			fail(part, LOG_INCOMPLETE, "cannot write the log: %s", strerror(errno));
		place += (size_t)count;
		atomic_store_explicit(&log->drained, place, memory_order_release);
	}
}
