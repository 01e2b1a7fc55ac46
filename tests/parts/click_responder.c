/*
 * click_responder: an instrument that answers each note on with a click, a known number of frames later.
 *
 *     click_responder [--server NAME] --name CLIENT --delay FRAMES [--length FRAMES] [--hum LEVEL]
 *
 * registers the MIDI input "in", the audio output "out" and the MIDI output "thru", which repeats at once all that comes
 * in. A note on at the frame f of a cycle makes the `length` samples (1) from f + delay on 0.5; a note off and all else
 * make nothing. Between clicks it is silent, or hums: every sample is `level`. See part.h for "ready" and ends. The command "notes" is answered by the number of notes heard.
 */
#include "part.h"

enum { MAX_CLICKS = 4096 };

static struct part part = { .program = "click_responder" };
static jack_port_t *in, *out, *thru;
static uint32_t delay, length = 1;
static float hum;
static uint64_t now;                /* frames since the first cycle */
static uint64_t clicks[MAX_CLICKS]; /* where they begin, in order; a ring */
static uint32_t first, count;
static atomic_uint notes;

static int process(jack_nframes_t frames, void *arg)
{
	(void)arg;
	part_is_called(&part);
	float *to = jack_port_get_buffer(out, frames);
	void *from = jack_port_get_buffer(in, frames);
	void *through = jack_port_get_buffer(thru, frames);
	jack_midi_event_t event;

	jack_midi_clear_buffer(through);
	for (uint32_t i = 0; i < jack_midi_get_event_count(from); i++) {
		if (jack_midi_event_get(&event, from, i))
			continue;
		jack_midi_event_write(through, event.time, event.buffer, event.size);
		if (event.size != 3 || (event.buffer[0] & 0xF0) != 0x90)
			continue;
		if (!event.buffer[2] || count == MAX_CLICKS)
			continue;
		clicks[(first + count++) % MAX_CLICKS] = now + event.time + delay;
		atomic_fetch_add(&notes, 1);
	}
	for (uint32_t i = 0; i < frames; i++) {
		const uint64_t at = now + i;
		to[i] = hum;
		while (count && at >= clicks[first] + length) {
			first = (first + 1) % MAX_CLICKS;
			count--;
		}
		if (count && at >= clicks[first])
			to[i] = 0.5f;
	}
	now += frames;
	return 0;
}

static void command(char *line)
{
	if (strcmp(line, "notes"))
		answer("error there is no command \"%s\"", line);
	else
		answer("%u", atomic_load(&notes));
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' }, { "name", required_argument, NULL, 'n' },
		{ "delay", required_argument, NULL, 'd' },  { "length", required_argument, NULL, 'l' },
		{ "hum", required_argument, NULL, 'h' },    { NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's': part.server = optarg; break;
		case 'n': part.name = optarg; break;
		case 'd': delay = whole(&part, "--delay", optarg, 0, 1 << 20); break;
		case 'l': length = whole(&part, "--length", optarg, 1, 1 << 20); break;
		case 'h': hum = (float)decimal(&part, "--hum", optarg, -1, 1); break;
		default: return USAGE;
		}
	}
	if (optind != argc)
		fail(&part, USAGE, "there is nothing beside options, not \"%s\"", argv[optind]);
	part_open(&part);
	jack_set_process_callback(part.client, process, NULL);
	in = part_port(&part, "in", JACK_MIDI, JackPortIsInput | JackPortIsTerminal);
	out = part_port(&part, "out", JACK_AUDIO, JackPortIsOutput | JackPortIsTerminal);
	thru = part_port(&part, "thru", JACK_MIDI, JackPortIsOutput | JackPortIsTerminal);
	part_activate(&part);

	const int end = part_run(&part, command, NULL);
	part_close(&part, end);
	return end;
}
