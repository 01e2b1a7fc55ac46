/*
 * latent_client: a JACK client whose outputs report a capture latency that is asked for.
 *
 *     latent_client [--server NAME] --name CLIENT [--channels N] --min FRAMES --max FRAMES
 *
 * registers the outputs out_1 .. out_N (1), which carry what frame_source's do: JACK frame numbers. See part.h for
 * "ready", commands and ends. The command "latency MIN MAX" changes the latency, has JACK tell everyone, and is
 * answered by "ok".
 */
#include "part.h"

enum { MAX_CHANNELS = 64, FRAME_MASK = (1 << 23) - 1, CHANNEL_STEP = 65537 };

static struct part part = { .program = "latent_client" };
static jack_port_t *ports[MAX_CHANNELS];
static uint32_t channels = 1;
static _Atomic uint64_t latency; /* min and, above it, max: always read as a pair */

static void set_latency(uint32_t min, uint32_t max)
{
	atomic_store(&latency, (uint64_t)max << 32 | min);
}

static int process(jack_nframes_t frames, void *arg)
{
	(void)arg;
	const uint32_t first = jack_last_frame_time(part.client);

	part_is_called(&part);
	for (uint32_t port = 0; port < channels; port++) {
		float *out = jack_port_get_buffer(ports[port], frames);
		for (uint32_t i = 0; i < frames; i++)
			out[i] = (float)((first + port * CHANNEL_STEP + i) & FRAME_MASK) / (float)(FRAME_MASK + 1);
	}
	return 0;
}

static void latency_callback(int mode, void *arg)
{
	(void)arg;
	const uint64_t pair = atomic_load(&latency);
	jack_latency_range_t range = { .min = (uint32_t)pair, .max = (uint32_t)(pair >> 32) };
	if (mode == JackCaptureLatency)
		for (uint32_t port = 0; port < channels; port++)
			jack_port_set_latency_range(ports[port], mode, &range);
}

static void command(char *line)
{
	unsigned min, max;
	char more;
	if (sscanf(line, "latency %u %u%c", &min, &max, &more) != 2 || min > max) {
		answer("error the command is latency MIN MAX, not \"%s\"", line);
		return;
	}
	set_latency(min, max);
	if (jack_recompute_total_latencies(part.client))
		answer("error JACK does not recompute the latencies");
	else
		answer("ok");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' },   { "name", required_argument, NULL, 'n' },
		{ "channels", required_argument, NULL, 'c' }, { "min", required_argument, NULL, 'i' },
		{ "max", required_argument, NULL, 'a' },      { NULL, 0, NULL, 0 },
	};
	uint32_t min = 0, max = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's': part.server = optarg; break;
		case 'n': part.name = optarg; break;
		case 'c': channels = whole(&part, "--channels", optarg, 1, MAX_CHANNELS); break;
		case 'i': min = whole(&part, "--min", optarg, 0, UINT32_MAX); break;
		case 'a': max = whole(&part, "--max", optarg, 0, UINT32_MAX); break;
		default: return USAGE;
		}
	}
	if (min > max || optind != argc)
		fail(&part, USAGE, "--min must not be above --max, and nothing beside options");
	set_latency(min, max);
	part_open(&part);
	jack_set_process_callback(part.client, process, NULL);
	jack_set_latency_callback(part.client, latency_callback, NULL);
	for (uint32_t port = 0; port < channels; port++) {
		char name[32];
		snprintf(name, sizeof name, "out_%u", port + 1);
		ports[port] = part_port(&part, name, JACK_AUDIO, JackPortIsOutput | JackPortIsTerminal);
	}
	part_activate(&part);
	jack_recompute_total_latencies(part.client); /* nobody else would ask before a connection */

	const int end = part_run(&part, command, NULL);
	part_close(&part, end);
	return end;
}
