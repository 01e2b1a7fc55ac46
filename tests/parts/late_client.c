/*
 * late_client: a JACK client whose process callback sleeps: what an overloaded or badly written client does to a graph.
 *
 *     late_client [--server NAME] --name CLIENT --sleep-ms N [--every M] [--times T] [--work-us W]
 *
 * registers the input "in" and the output "out" (silent), and sleeps N milliseconds in every M-th (1) cycle, T times
 * (without --times: until the end; with 0 never, which makes it an observer). In all other cycles it takes W (0)
 * microseconds, as if it had something to do. See part.h for "ready", commands and ends. The command "tell" is
 * answered by
 *
 *     slept N skipped F again A
 *
 * with the number of times until now, the frames of JACK's counter that lay between one cycle that it was called in and
 * the next, and how often it was called again in the same cycle. The same line is printed at the end.
 */
#include "part.h"

static struct part part = { .program = "late_client" };
static jack_port_t *input;
static jack_port_t *output;
static struct timespec nap;
static struct timespec work;
static uint32_t every = 1;
static uint32_t times = UINT32_MAX;
static uint32_t cycle;    /* the process callback's own, as is the next: */
static uint32_t newest;   /* JACK frame of the cycle before */
static uint32_t expected; /* and of this one, when none is skipped */
static atomic_ulong slept;
static atomic_ulong skipped;
static atomic_ulong again;

static int process(jack_nframes_t frames, void *arg)
{
	(void)arg;
	const uint32_t first = jack_last_frame_time(part.client);
	memset(jack_port_get_buffer(output, frames), 0, frames * sizeof(float));
	jack_port_get_buffer(input, frames);
	if (part.called && first == newest)
		atomic_fetch_add(&again, 1);
	else if (part.called)
		atomic_fetch_add(&skipped, first - expected);
	newest = first;
	expected = first + frames;
	part_is_called(&part);
	if (++cycle % every == 0 && atomic_load(&slept) < times) {
		nanosleep(&nap, NULL); /* the purpose of this client */
		atomic_fetch_add(&slept, 1);
	} else if (work.tv_nsec) {
		nanosleep(&work, NULL);
	}
	return 0;
}

static void tell(void)
{
	answer("slept %lu skipped %lu again %lu", atomic_load(&slept), atomic_load(&skipped), atomic_load(&again));
}

static void command(char *line)
{
	if (!strcmp(line, "tell"))
		tell();
	else
		answer("error there is no command \"%s\"", line);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' },   { "name", required_argument, NULL, 'n' },
		{ "sleep-ms", required_argument, NULL, 'm' }, { "every", required_argument, NULL, 'e' },
		{ "times", required_argument, NULL, 't' },    { "work-us", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	uint32_t milliseconds = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's': part.server = optarg; break;
		case 'n': part.name = optarg; break;
		case 'm': milliseconds = whole(&part, "--sleep-ms", optarg, 1, 60000); break;
		case 'e': every = whole(&part, "--every", optarg, 1, UINT32_MAX); break;
		case 't': times = whole(&part, "--times", optarg, 0, UINT32_MAX); break;
		case 'w': work.tv_nsec = whole(&part, "--work-us", optarg, 0, 999999) * 1000L; break;
		default: return USAGE;
		}
	}
	if (!milliseconds || optind != argc)
		fail(&part, USAGE, "--sleep-ms is needed, and nothing beside options");
	nap.tv_sec = milliseconds / 1000;
	nap.tv_nsec = milliseconds % 1000 * 1000000L;
	part_open(&part);
	jack_set_process_callback(part.client, process, NULL);
	input = part_port(&part, "in", JACK_AUDIO, JackPortIsInput);
	output = part_port(&part, "out", JACK_AUDIO, JackPortIsOutput);
	part_activate(&part);

	const int end = part_run(&part, command, NULL);
	part_close(&part, end);
	tell();
	return end;
}
