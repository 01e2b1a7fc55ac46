/*
 * midi_sink: a JACK client that logs every MIDI event it receives, with its exact JACK frame.
 *
 *     midi_sink [--server NAME] --name CLIENT --log FILE
 *
 * registers the input "in". See part.h for the form of the log, "ready", commands and ends. The command "flush" is
 * answered, when two whole cycles have passed and the log is in the file, by
 *
 *     received N lost M
 *
 * with the number of events logged and the sum of JACK's own counts of events that found no room on their way here.
 * The same line is printed at the end. An event that the log has no room for ends the program with status 4.
 */
#include "part.h"

static struct part part = { .program = "midi_sink" };
static struct event_log event_log;
static jack_port_t *input;
static atomic_ulong cycles;
static atomic_ulong received;
static atomic_ulong lost;
static atomic_bool overflow;
static unsigned long flush_at; /* the cycle that a flush waits for; 0: none does */

static int process(jack_nframes_t frames, void *arg)
{
	(void)arg;
	const jack_nframes_t first = jack_last_frame_time(part.client);
	void *buffer = jack_port_get_buffer(input, frames);
	const uint32_t count = jack_midi_get_event_count(buffer);

	part_is_called(&part);
	for (uint32_t i = 0; i < count; i++) {
		jack_midi_event_t event;
		if (jack_midi_event_get(&event, buffer, i))
			continue;
		if (!log_has_room(&event_log, event.size)) {
			atomic_store(&overflow, true);
			continue;
		}
		log_put(&event_log, first + event.time, event.buffer, event.size);
		atomic_fetch_add(&received, 1);
	}
	atomic_fetch_add(&lost, jack_midi_get_lost_event_count(buffer));
	atomic_fetch_add(&cycles, 1); /* last: whoever sees it sees the whole cycle */
	return 0;
}

static void tell(void)
{
	log_drain(&part, &event_log);
	answer("received %lu lost %lu", atomic_load(&received), atomic_load(&lost));
}

static void tick(void)
{
	const unsigned long now = atomic_load(&cycles);
	if (atomic_load(&overflow))
		fail(&part, LOG_INCOMPLETE, "events came faster than they could be logged");
	log_drain(&part, &event_log);
	if (flush_at && now >= flush_at) {
		flush_at = 0;
		tell();
	}
}

static void command(char *line)
{
	if (!strcmp(line, "flush"))
		flush_at = atomic_load(&cycles) + 2; /* one of them may have begun already */
	else
		answer("error there is no command \"%s\"", line);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' },
		{ "name", required_argument, NULL, 'n' },
		{ "log", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	const char *path = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's': part.server = optarg; break;
		case 'n': part.name = optarg; break;
		case 'l': path = optarg; break;
		default: return USAGE;
		}
	}
	if (optind != argc)
		fail(&part, USAGE, "there is nothing beside options, not \"%s\"", argv[optind]);
	log_open(&part, &event_log, path);
	part_open(&part);
	jack_set_process_callback(part.client, process, NULL);
	input = part_port(&part, "in", JACK_MIDI, JackPortIsInput | JackPortIsTerminal);
	part_activate(&part);

	const int end = part_run(&part, command, tick);
	part_close(&part, end);
	tick();
	tell();
	return end;
}
