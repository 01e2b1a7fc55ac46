/*
 * burst_source: a JACK client that is quiet but for bursts at known frames.
 *
 *     burst_source [--server NAME] --name CLIENT [--channels N] [--burst BEGIN,FRAMES,AMPLITUDE,CHANNEL]...
 *
 * registers the outputs "out_1" to "out_N" (1) and "midi". See part.h for "ready", commands and ends.
 *
 * Each audio output carries noise, the same at the same JACK frame in every run: evenly spread over -NOISE to NOISE
 * (-55 dB of full scale). The command "play FRAME" gives the JACK frame from which the bursts are counted, and is
 * answered by "playing". A burst adds AMPLITUDE * cos(2 pi n / 48) to the channel CHANNEL (from 1), where n counts its
 * FRAMES frames from 0. In a burst of CHANNEL 0, MIDI, a note begins on the first frame and ends on the last one.
 *
 * "midi" also carries active sensing (FE), once in SENSING frames.
 */
#include "part.h"

enum { MAX_BURSTS = 256, MAX_CHANNELS = 64, PERIOD_FRAMES = 48, SENSING = 9600 };
#define NOISE 0.00177827941f

struct burst {
	uint32_t begin;
	uint32_t frames;
	float amplitude;
	uint32_t channel;
};

static struct part part = { .program = "burst_source" };
static jack_port_t *outputs[MAX_CHANNELS];
static jack_port_t *midi;
static uint32_t channels = 1;
static struct burst bursts[MAX_BURSTS];
static uint32_t burst_count;
static float wave[PERIOD_FRAMES];
static atomic_uint base;
static atomic_bool plays;

static float noise(uint32_t frame, uint32_t channel)
{
	uint32_t bits = frame * 2654435761u + channel * 40503u + 1;
	bits ^= bits >> 16;
	bits *= 2246822519u;
	bits ^= bits >> 13;
	bits *= 3266489917u;
	bits ^= bits >> 16;
	return ((float)bits / 4294967296.0f * 2 - 1) * NOISE;
}

static void add_burst(float *out, const struct burst *burst, uint32_t first, uint32_t frames)
{
	for (uint32_t i = 0; i < frames; i++) {
		const uint32_t at = first + i - burst->begin; /* large where the burst has not begun */
		if (at < burst->frames)
			out[i] += burst->amplitude * wave[at % PERIOD_FRAMES];
	}
}

static void emit_midi(uint32_t first, uint32_t frames, bool is_playing, uint32_t since)
{
	void *buffer = jack_port_get_buffer(midi, frames);
	jack_midi_clear_buffer(buffer);
	for (uint32_t i = 0; i < frames; i++) {
		if ((first + i) % SENSING == 0)
			jack_midi_event_write(buffer, i, (const unsigned char[]){ 0xFE }, 1);
		for (uint32_t number = 0; is_playing && number < burst_count; number++) {
			const struct burst *burst = &bursts[number];
			const uint32_t at = since + i - burst->begin;
			if (burst->channel == 0 && at == 0)
				jack_midi_event_write(buffer, i, (const unsigned char[]){ 0x90, 60, 100 }, 3);
			if (burst->channel == 0 && at == burst->frames - 1)
				jack_midi_event_write(buffer, i, (const unsigned char[]){ 0x80, 60, 0 }, 3);
		}
	}
}

static int process(jack_nframes_t frames, void *arg)
{
	(void)arg;
	part_is_called(&part);
	const uint32_t first = jack_last_frame_time(part.client);
	const bool is_playing = atomic_load_explicit(&plays, memory_order_acquire);
	const uint32_t since = first - atomic_load_explicit(&base, memory_order_relaxed);
	for (uint32_t channel = 0; channel < channels; channel++) {
		float *out = jack_port_get_buffer(outputs[channel], frames);
		for (uint32_t i = 0; i < frames; i++)
			out[i] = noise(first + i, channel);
		for (uint32_t number = 0; is_playing && number < burst_count; number++)
			if (bursts[number].channel == channel + 1)
				add_burst(out, &bursts[number], since, frames);
	}
	emit_midi(first, frames, is_playing, since);
	return 0;
}

static void command(char *line)
{
	unsigned frame;
	if (sscanf(line, "play %u", &frame) != 1) {
		answer("error there is no command \"%s\"", line);
		return;
	}
	atomic_store_explicit(&base, frame, memory_order_relaxed);
	atomic_store_explicit(&plays, true, memory_order_release);
	answer("playing");
}

static void add(const char *text)
{
	struct burst *burst = &bursts[burst_count];
	if (burst_count == MAX_BURSTS)
		fail(&part, USAGE, "more than %d bursts", MAX_BURSTS);
	if (sscanf(text, "%u,%u,%f,%u", &burst->begin, &burst->frames, &burst->amplitude, &burst->channel) != 4 ||
	    !burst->frames)
		fail(&part, USAGE, "--burst must be BEGIN,FRAMES,AMPLITUDE,CHANNEL, not \"%s\"", text);
	burst_count++;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' },   { "name", required_argument, NULL, 'n' },
		{ "channels", required_argument, NULL, 'c' }, { "burst", required_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 },
	};
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's': part.server = optarg; break;
		case 'n': part.name = optarg; break;
		case 'c': channels = whole(&part, "--channels", optarg, 1, MAX_CHANNELS); break;
		case 'b': add(optarg); break;
		default: fail(&part, USAGE, "see the head of burst_source.c for the options");
		}
	}
	if (optind != argc)
		fail(&part, USAGE, "nothing beside options is needed");
	const double cosine = 0.99144486137381041, sine = 0.13052619222005159; /* of 2 pi / PERIOD_FRAMES */
	double x = 1, y = 0;
	for (int i = 0; i < PERIOD_FRAMES; i++) {
		wave[i] = (float)x;
		const double next = x * cosine - y * sine;
		y = x * sine + y * cosine;
		x = next;
	}
	part_open(&part);
	jack_set_process_callback(part.client, process, NULL);
	for (uint32_t channel = 0; channel < channels; channel++) {
		char name[32];
		snprintf(name, sizeof name, "out_%u", channel + 1);
		outputs[channel] = part_port(&part, name, JACK_AUDIO, JackPortIsOutput | JackPortIsTerminal);
	}
	midi = part_port(&part, "midi", JACK_MIDI, JackPortIsOutput | JackPortIsTerminal);
	part_activate(&part);
	const int end = part_run(&part, command, NULL);
	part_close(&part, end);
	return end;
}
