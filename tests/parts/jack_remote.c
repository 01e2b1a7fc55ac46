/*
 * jack_remote: a hand on a JACK server: a client without ports that does to the server what it is told.
 *
 *     jack_remote [--server NAME] --name CLIENT
 *
 * See part.h for "ready" and ends. The commands and their answers, where usecs are those of JACK's own clock:
 *
 *     freewheel 0|1                ok
 *     buffer FRAMES                ok                  (0: "buffer FRAMES" is the answer, and nothing changes)
 *     rate                         rate HERTZ
 *     time                         frame F usecs U     (one after the other)
 *     frame_to_usecs FRAME         usecs U             (exact for frames near now; JACK has no history)
 *     usecs_to_frame USECS         frame F
 *     transport start|stop         ok
 *     locate FRAME                 ok
 *     transport                    state S frame F     (0 stopped, 1 rolling, 3 starting)
 *     transport position           frame F jack J      (of the transport at the start of a cycle, and JACK's frame then)
 *     timebase BPM                 ok                  (from now on it gives bars of four beats of 1,920 ticks)
 *     connect SOURCE<TAB>TARGET    ok
 *     disconnect SOURCE<TAB>TARGET ok
 *     connections PORT             connections<TAB>PORT<TAB>PORT...
 *     capture|playback PORT        min F max F         (the latency range of a port)
 *     xruns                        xruns N             (that JACK told this client of)
 *
 * and "error REASON" for what is refused.
 */
#include "part.h"

static struct part part = { .program = "jack_remote" };
static atomic_ulong xruns;
static _Atomic uint64_t transport; /* its frame at the start of a cycle, and in the lower half JACK's frame */
static atomic_uint tempo;

/* There is one so that "ready" means that the server runs its graph. */
static int process(jack_nframes_t frames, void *arg)
{
	(void)frames;
	(void)arg;
	struct jack_position position;
	jack_transport_query(part.client, &position);
	atomic_store(&transport, (uint64_t)position.frame << 32 | jack_last_frame_time(part.client));
	part_is_called(&part);
	return 0;
}

/* Musical time as a function of the transport's frame alone: beats of quarter notes, four in a bar. */
static void timebase(int state, jack_nframes_t frames, struct jack_position *position, int is_new, void *arg)
{
	(void)state;
	(void)frames;
	(void)is_new;
	(void)arg;
	const double beats = (double)position->frame * (double)atomic_load(&tempo) / 60 / position->frame_rate;
	const int32_t beat = (int32_t)beats;
	position->valid |= 0x10;
	position->bar = beat / 4 + 1;
	position->beat = beat % 4 + 1;
	position->tick = (int32_t)((beats - beat) * 1920);
	position->bar_start_tick = beat / 4 * 4 * 1920.0;
	position->beats_per_bar = position->beat_type = 4;
	position->ticks_per_beat = 1920;
	position->beats_per_minute = (double)atomic_load(&tempo);
}

static int xrun(void *arg)
{
	(void)arg;
	atomic_fetch_add(&xruns, 1);
	return 0;
}

static void answer_status(int status)
{
	if (status)
		answer("error JACK says %d", status);
	else
		answer("ok");
}

/* Commands that have one whole number; false when this is none of them. */
static bool number_command(const char *word, unsigned long long number)
{
	const jack_nframes_t frames = (jack_nframes_t)number;
	if (!strcmp(word, "freewheel"))
		answer_status(jack_set_freewheel(part.client, number != 0));
	else if (!strcmp(word, "buffer") && frames)
		answer_status(jack_set_buffer_size(part.client, frames));
	else if (!strcmp(word, "buffer"))
		answer("buffer %u", jack_get_buffer_size(part.client));
	else if (!strcmp(word, "frame_to_usecs"))
		answer("usecs %llu", (unsigned long long)jack_frames_to_time(part.client, frames));
	else if (!strcmp(word, "usecs_to_frame"))
		answer("frame %u", jack_time_to_frames(part.client, number));
	else if (!strcmp(word, "timebase")) {
		atomic_store(&tempo, (unsigned)number);
		answer_status(jack_set_timebase_callback(part.client, 0, timebase, NULL));
	} else if (!strcmp(word, "locate"))
		answer_status(jack_transport_locate(part.client, frames));
	else
		return false;
	return true;
}

/* Commands that are one line each; false when this is none of them. */
static bool plain_command(const char *line)
{
	if (!strcmp(line, "rate")) {
		answer("rate %u", jack_get_sample_rate(part.client));
	} else if (!strcmp(line, "time")) {
		const jack_nframes_t frame = jack_frame_time(part.client);
		answer("frame %u usecs %llu", frame, (unsigned long long)jack_get_time());
	} else if (!strcmp(line, "transport start")) {
		jack_transport_start(part.client);
		answer("ok");
	} else if (!strcmp(line, "transport stop")) {
		jack_transport_stop(part.client);
		answer("ok");
	} else if (!strcmp(line, "transport position")) {
		const uint64_t seen = atomic_load(&transport);
		answer("frame %u jack %u", (unsigned)(seen >> 32), (unsigned)seen);
	} else if (!strcmp(line, "transport")) {
		const int state = jack_transport_query(part.client, NULL);
		answer("state %d frame %u", state, jack_get_current_transport_frame(part.client));
	} else if (!strcmp(line, "xruns")) {
		answer("xruns %lu", atomic_load(&xruns));
	} else {
		return false;
	}
	return true;
}

static void answer_connections(const jack_port_t *port)
{
	const char **names = jack_port_get_all_connections(part.client, port);
	printf("connections");
	for (const char **name = names; name && *name; name++)
		printf("\t%s", *name);
	answer("%s", "");
	jack_free(names);
}

/* Commands with the name of a port, which may have blanks; false when this is none of them. */
static bool port_command(const char *word, char *name)
{
	const bool capture = !strcmp(word, "capture");
	char *const other = strchr(name, '\t');

	if (other && (!strcmp(word, "connect") || !strcmp(word, "disconnect"))) {
		*other = 0;
		answer_status(*word == 'c' ? jack_connect(part.client, name, other + 1)
		                           : jack_disconnect(part.client, name, other + 1));
		return true;
	}
	if (!capture && strcmp(word, "playback") && strcmp(word, "connections"))
		return false;
	jack_port_t *const port = jack_port_by_name(part.client, name);
	if (!port) {
		answer("error there is no port \"%s\"", name);
	} else if (!strcmp(word, "connections")) {
		answer_connections(port);
	} else {
		jack_latency_range_t range = { 0, 0 };
		jack_port_get_latency_range(port, capture ? JackCaptureLatency : JackPlaybackLatency, &range);
		answer("min %u max %u", range.min, range.max);
	}
	return true;
}

static void command(char *line)
{
	char word[32];
	unsigned long long number;
	char more;
	if (plain_command(line))
		return;
	if (sscanf(line, "%31s %llu%c", word, &number, &more) == 2 && number_command(word, number))
		return;
	char *const blank = strchr(line, ' ');
	if (blank) {
		*blank = 0;
		if (port_command(line, blank + 1))
			return;
		*blank = ' ';
	}
	answer("error there is no command \"%s\"", line);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' },
		{ "name", required_argument, NULL, 'n' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's': part.server = optarg; break;
		case 'n': part.name = optarg; break;
		default: return USAGE;
		}
	}
	if (optind != argc)
		fail(&part, USAGE, "there is nothing beside options, not \"%s\"", argv[optind]);
	part_open(&part);
	jack_set_process_callback(part.client, process, NULL);
	jack_set_xrun_callback(part.client, xrun, NULL);
	part_activate(&part);

	const int end = part_run(&part, command, NULL);
	part_close(&part, end);
	return end;
}
