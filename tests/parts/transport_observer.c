/*
 * transport_observer: writes down what its own process callback sees of JACK's transport, cycle by cycle.
 *
 *     transport_observer [--server NAME] --name CLIENT --log FILE
 *
 * See part.h for "ready", ends and the log. A cycle becomes a record if it is the first one, or if the transport's state
 * is another one than in the cycle before, or its frame not the one that it comes to by itself. A record's bytes are, as
 * u32, the state (0 stopped, 1 rolling, 3 starting) and the transport's frame. The commands and their answers:
 *
 *     flush     changes N   (so many records, all of cycles that ended before, are in the file)
 *     hold 0|1  ok          (1: from now on it is slow to get ready, so that the transport does not come to roll)
 */
#include "part.h"

extern int jack_set_sync_callback(jack_client_t *client,
                                  int (*callback)(int state, struct jack_position *position, void *arg), void *arg);

enum { ROLLING = 1 };

static struct part part = { .program = "transport_observer" };
static struct event_log event_log;
static atomic_ulong cycles;
static atomic_ulong changes;
static atomic_bool overflow;
static atomic_bool holding;
static unsigned long flush_at; /* the cycle that a flush waits for; 0: none does */
static uint32_t seen[2];       /* state and frame of the cycle before */
static jack_nframes_t period;  /* of that cycle */

static int process(jack_nframes_t frames, void *arg)
{
	(void)arg;
	struct jack_position position;
	const uint32_t state = (uint32_t)jack_transport_query(part.client, &position);
	const uint32_t expected = seen[1] + (seen[0] == ROLLING ? period : 0);
	const bool is_first = !part.called;

	part_is_called(&part);
	if (is_first || state != seen[0] || position.frame != expected) {
		const uint32_t record[] = { htole32(state), htole32(position.frame) };
		if (log_has_room(&event_log, sizeof record))
			log_put(&event_log, jack_last_frame_time(part.client), (const unsigned char *)record, sizeof record);
		else
			atomic_store(&overflow, true);
		atomic_fetch_add(&changes, 1);
	}
	seen[0] = state;
	seen[1] = position.frame;
	period = frames;
	atomic_fetch_add(&cycles, 1); /* last: whoever sees it sees the whole cycle */
	return 0;
}

static int is_ready(int state, struct jack_position *position, void *arg)
{
	(void)state;
	(void)position;
	(void)arg;
	return !atomic_load(&holding);
}

static void tick(void)
{
	const unsigned long now = atomic_load(&cycles);
	if (atomic_load(&overflow))
		fail(&part, LOG_INCOMPLETE, "changes came faster than they could be logged");
	log_drain(&part, &event_log);
	if (flush_at && now >= flush_at) {
		flush_at = 0;
		log_drain(&part, &event_log);
		answer("changes %lu", atomic_load(&changes));
	}
}

static void command(char *line)
{
	if (!strcmp(line, "flush")) {
		flush_at = atomic_load(&cycles) + 2; /* one of them may have begun already */
	} else if (!strcmp(line, "hold 0") || !strcmp(line, "hold 1")) {
		atomic_store(&holding, line[5] == '1');
		if (jack_set_sync_callback(part.client, is_ready, NULL))
			answer("error JACK takes no sync callback");
		else
			answer("ok");
	} else {
		answer("error there is no command \"%s\"", line);
	}
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
	part_activate(&part);

	const int end = part_run(&part, command, tick);
	part_close(&part, end);
	return end;
}
