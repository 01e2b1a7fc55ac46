/*
 * midi_source: a JACK client that emits known MIDI events at known frames, and logs what it really emitted.
 *
 *     midi_source [--server NAME] --name CLIENT --log FILE
 *                 [--rate EVENTS_PER_SECOND]
 *                 [--sysex BYTES [--sysex-every SECONDS] [--piece BYTES]]
 *                 [--clock BPM [--clock-stop-after TICKS]]
 *                 [--raw HEX@CYCLE[+OFFSET]]...
 *
 * registers the output "out". See part.h for the form of the log, "ready", commands and ends.
 *
 * It emits in those cycles, and only in those, in which "out" is connected: all that is logged had a listener. Its own
 * time, the emission time, counts the frames of these cycles: neither a pause between two listeners nor a cycle that
 * JACK skips loses an event. The command "stop" is answered, when a sysex message that has begun is at its end and all
 * is in the file, by
 *
 *     emitted N refused M
 *
 * with the number of events logged and of those that JACK refused (which are not in the log); nothing is emitted from
 * then on. The same line is printed at the end of the program.
 *
 * --rate: note n (from 0) is due at the emission time n * sample rate / EVENTS_PER_SECOND, rounded down. An even n
 *   switches a note on, the odd n after it the same note off; the pair p = n / 2 is key p mod 128, velocity
 *   p / 128 mod 127 + 1, channel p / 128 / 127 mod 16. Notes that are due while a sysex message is on its way are
 *   left out and do not count in n.
 * --sysex: messages F0 .. F7 of BYTES bytes, the first at the emission time 0 and another one every SECONDS (without
 *   --sysex-every: only one), in pieces of at most --piece (4096) bytes and one piece a cycle, at offset 0 but for the
 *   first. Byte i (not the first or last) of message m is (i ^ (i >> 7) ^ m) & 7F.
 * --clock: FA and F8 at the emission time 0, then F8 24 times a quarter. With --clock-stop-after N: FC in the place of
 *   tick N, F2 (its position) one tick later, FB and F8 another tick later, and so on with F8.
 * --raw: these bytes, whatever they are, in the emission's cycle CYCLE (from 0) at OFFSET (0), even within a sysex.
 *
 * In one frame the order is: raw, clock, sysex, notes.
 */
#include "part.h"

enum { MAX_RAWS = 64, PIECE_ROOM = 1 << 16, NEVER_STOPS = UINT32_MAX };

struct raw {
	uint32_t cycle;
	uint32_t offset;
	size_t size;
	unsigned char *bytes;
};

static struct part part = { .program = "midi_source" };
static struct event_log event_log;
static jack_port_t *output;
static double sample_rate;

static double note_rate;
static uint32_t sysex_bytes;
static double sysex_every;
static uint32_t piece_bytes = 4096;
static double clock_bpm;
static uint32_t clock_stop = NEVER_STOPS;
static struct raw raws[MAX_RAWS];
static uint32_t raw_count;

static atomic_bool stop;
static atomic_bool stopped;
static atomic_bool overflow;
static atomic_ulong emitted;
static atomic_ulong refused;
static bool stop_is_asked; /* and not answered */

/* The process callback's own. */
static uint64_t now; /* emission time of the cycle's first frame */
static uint32_t cycle;
static uint32_t raw_next;
static uint64_t note_slot;  /* the next note's place in time */
static uint64_t note_count; /* its number */
static uint64_t clock_slot;
static uint64_t sysex_slot;
static uint32_t sysex_number;
static uint32_t sysex_sent; /* bytes of the message on its way; 0: there is none */

/* One cycle's buffer. */
struct out {
	void *buffer;
	jack_nframes_t first;  /* JACK frame */
	jack_nframes_t frames; /* in this cycle */
	jack_nframes_t offset; /* of the last event */
};

static bool emit(const struct out *out, jack_nframes_t offset, const unsigned char *bytes, size_t size)
{
	if (!log_has_room(&event_log, size)) {
		atomic_store(&overflow, true);
		return false;
	}
	if (jack_midi_event_write(out->buffer, offset, bytes, size)) {
		atomic_fetch_add(&refused, 1);
		return false;
	}
	log_put(&event_log, out->first + offset, bytes, size);
	atomic_fetch_add(&emitted, 1);
	return true;
}

static uint64_t note_due(void)
{
	return note_rate > 0 ? (uint64_t)((double)note_slot * sample_rate / note_rate) : UINT64_MAX;
}

static void emit_note(const struct out *out)
{
	const uint64_t pair = note_count / 2;
	const unsigned char bytes[] = {
		(unsigned char)((note_count % 2 ? 0x80 : 0x90) | (pair / 128 / 127 % 16)),
		(unsigned char)(pair % 128),
		(unsigned char)(pair / 128 % 127 + 1),
	};
	emit(out, out->offset, bytes, sizeof bytes);
	note_count++;
	note_slot++;
}

static uint64_t clock_due(void)
{
	return clock_bpm > 0 ? (uint64_t)((double)clock_slot * sample_rate * 60 / (clock_bpm * 24) + 0.5) : UINT64_MAX;
}

static void emit_clock(const struct out *out)
{
	static const unsigned char tick = 0xF8, start = 0xFA, go_on = 0xFB, halt = 0xFC;
	const uint32_t beats = clock_stop / 6; /* MIDI's own: a sixteenth */
	const unsigned char position[] = { 0xF2, beats & 0x7F, (beats >> 7) & 0x7F };

	if (clock_slot == 0)
		emit(out, out->offset, &start, 1);
	if (clock_slot == clock_stop) {
		emit(out, out->offset, &halt, 1);
	} else if (clock_slot == (uint64_t)clock_stop + 1) {
		emit(out, out->offset, position, sizeof position);
	} else {
		if (clock_slot == (uint64_t)clock_stop + 2)
			emit(out, out->offset, &go_on, 1);
		emit(out, out->offset, &tick, 1);
	}
	clock_slot++;
}

static uint64_t sysex_due(void)
{
	if (!sysex_bytes || (sysex_number && sysex_every <= 0))
		return UINT64_MAX;
	return (uint64_t)((double)sysex_slot * sysex_every * sample_rate);
}

static void emit_sysex_piece(const struct out *out)
{
	static unsigned char piece[PIECE_ROOM];
	const size_t room = jack_midi_max_event_size(out->buffer);
	size_t size = sysex_bytes - sysex_sent;
	if (size > piece_bytes)
		size = piece_bytes;
	if (size > room)
		size = room;
	if (!size)
		return; /* again in the next cycle */
	for (size_t k = 0; k < size; k++) {
		const uint32_t i = sysex_sent + (uint32_t)k;
		piece[k] = (i ^ (i >> 7) ^ sysex_number) & 0x7F;
	}
	if (!sysex_sent)
		piece[0] = 0xF0;
	if (sysex_sent + size == sysex_bytes)
		piece[size - 1] = 0xF7;
	if (!emit(out, out->offset, piece, size))
		return;
	sysex_sent += (uint32_t)size;
	if (sysex_sent < sysex_bytes)
		return;
	sysex_sent = 0;
	sysex_number++;
	do
		sysex_slot++;
	while (sysex_due() <= now + out->offset);
}

/* All that is due before the end of the cycle, in the order of its frames. */
static void emit_cycle(struct out *out)
{
	const uint64_t end = now + out->frames;
	bool piece_is_sent = false;

	for (;;) {
		enum { NOTHING, RAW, CLOCK, SYSEX, NOTE } what = NOTHING;
		uint64_t due = end;
		while (((piece_is_sent && sysex_sent) || note_due() < now + out->offset) && note_due() < end)
			note_slot++; /* left out: its time is the sysex's */
		if (note_due() < due) {
			due = note_due();
			what = NOTE;
		}
		const uint64_t piece_due = sysex_sent ? now : sysex_due();
		if (!piece_is_sent && piece_due <= due && piece_due < end) {
			due = piece_due;
			what = SYSEX;
		}
		if (clock_due() <= due && clock_due() < end) {
			due = clock_due();
			what = CLOCK;
		}
		if (raw_next < raw_count && raws[raw_next].cycle == cycle && now + raws[raw_next].offset <= due &&
		    raws[raw_next].offset < out->frames) {
			due = now + raws[raw_next].offset;
			what = RAW;
		}
		if (what == NOTHING)
			break;
		if (due > now + out->offset)
			out->offset = (jack_nframes_t)(due - now);
		switch (what) {
		case RAW:
			emit(out, out->offset, raws[raw_next].bytes, raws[raw_next].size);
			raw_next++;
			break;
		case CLOCK: emit_clock(out); break;
		case SYSEX:
			emit_sysex_piece(out);
			piece_is_sent = true;
			break;
		default: emit_note(out); break;
		}
	}
	/* Offsets beyond the cycle: JACK shall refuse them. */
	for (; raw_next < raw_count && raws[raw_next].cycle == cycle; raw_next++)
		emit(out, raws[raw_next].offset, raws[raw_next].bytes, raws[raw_next].size);
}

static int process(jack_nframes_t frames, void *arg)
{
	(void)arg;
	struct out out = { .first = jack_last_frame_time(part.client), .frames = frames };
	out.buffer = jack_port_get_buffer(output, frames);
	jack_midi_clear_buffer(out.buffer);

	part_is_called(&part);
	if (atomic_load(&stopped))
		return 0;
	const bool stopping = atomic_load(&stop);
	const bool connected = jack_port_connected(output) > 0;
	if (stopping && !(connected && sysex_sent)) {
		atomic_store(&stopped, true);
	} else if (stopping) {
		emit_sysex_piece(&out);
	} else if (connected) {
		emit_cycle(&out);
		now += frames;
		cycle++;
	}
	return 0;
}

static void tell(void)
{
	log_drain(&part, &event_log);
	answer("emitted %lu refused %lu", atomic_load(&emitted), atomic_load(&refused));
}

static void tick(void)
{
	const bool has_stopped = atomic_load(&stopped);
	if (atomic_load(&overflow))
		fail(&part, LOG_INCOMPLETE, "events came faster than they could be logged");
	log_drain(&part, &event_log);
	if (stop_is_asked && has_stopped) {
		stop_is_asked = false;
		tell();
	}
}

static void command(char *line)
{
	if (!strcmp(line, "stop")) {
		stop_is_asked = true;
		atomic_store(&stop, true);
	} else {
		answer("error there is no command \"%s\"", line);
	}
}

static void add_raw(const char *text)
{
	const char *at = strchr(text, '@');
	const size_t digits = at ? (size_t)(at - text) : 0;
	if (!at || digits % 2 || strspn(text, "0123456789abcdefABCDEF") != digits)
		fail(&part, USAGE, "--raw must be HEX@CYCLE or HEX@CYCLE+OFFSET, not \"%s\"", text);
	if (raw_count == MAX_RAWS)
		fail(&part, USAGE, "--raw can be said %d times", MAX_RAWS);
	struct raw *raw = &raws[raw_count++];
	raw->size = digits / 2;
	raw->bytes = calloc(1, raw->size + 1);
	if (!raw->bytes)
		fail(&part, USAGE, "there is no memory");
	for (size_t i = 0; i < raw->size; i++) {
		const char byte[] = { text[2 * i], text[2 * i + 1], 0 };
		raw->bytes[i] = (unsigned char)strtoul(byte, NULL, 16);
	}
	char *cycle_text = strdup(at + 1);
	if (!cycle_text)
		fail(&part, USAGE, "there is no memory");
	char *plus = strchr(cycle_text, '+');
	if (plus) {
		*plus = 0;
		raw->offset = whole(&part, "the offset in --raw", plus + 1, 0, 1 << 20);
	}
	raw->cycle = whole(&part, "the cycle in --raw", cycle_text, 0, UINT32_MAX);
	free(cycle_text);
	for (; raw > raws && (raw[-1].cycle > raw->cycle ||
	                      (raw[-1].cycle == raw->cycle && raw[-1].offset > raw->offset)); raw--) {
		const struct raw later = raw[-1];
		raw[-1] = *raw;
		*raw = later;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' },      { "name", required_argument, NULL, 'n' },
		{ "log", required_argument, NULL, 'l' },         { "rate", required_argument, NULL, 'r' },
		{ "sysex", required_argument, NULL, 'x' },       { "sysex-every", required_argument, NULL, 'e' },
		{ "piece", required_argument, NULL, 'p' },       { "clock", required_argument, NULL, 'c' },
		{ "clock-stop-after", required_argument, NULL, 't' }, { "raw", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	const char *path = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's': part.server = optarg; break;
		case 'n': part.name = optarg; break;
		case 'l': path = optarg; break;
		case 'r': note_rate = decimal(&part, "--rate", optarg, 0, 1e6); break;
		case 'x': sysex_bytes = whole(&part, "--sysex", optarg, 2, 1 << 22); break;
		case 'e': sysex_every = decimal(&part, "--sysex-every", optarg, 0.001, 1e6); break;
		case 'p': piece_bytes = whole(&part, "--piece", optarg, 1, PIECE_ROOM); break;
		case 'c': clock_bpm = decimal(&part, "--clock", optarg, 1, 1000); break;
		case 't': clock_stop = whole(&part, "--clock-stop-after", optarg, 1, 1 << 20); break;
		case 'w': add_raw(optarg); break;
		default: return USAGE;
		}
	}
	if (optind != argc)
		fail(&part, USAGE, "there is nothing beside options, not \"%s\"", argv[optind]);
	if (clock_stop != NEVER_STOPS && sysex_bytes) /* F2 is no real-time message, and has a place of its own */
		fail(&part, USAGE, "--clock-stop-after and --sysex exclude each other");
	log_open(&part, &event_log, path);
	part_open(&part);
	sample_rate = jack_get_sample_rate(part.client);
	jack_set_process_callback(part.client, process, NULL);
	output = part_port(&part, "out", JACK_MIDI, JackPortIsOutput | JackPortIsTerminal);
	part_activate(&part);

	const int end = part_run(&part, command, tick);
	part_close(&part, end);
	tick();
	tell();
	return end;
}
