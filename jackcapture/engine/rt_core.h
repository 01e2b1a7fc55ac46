/*
 * The real-time core. This file is both what the rt_*.c include and what CFFI reads, so it holds plain declarations.
 *
 * Frames are 64-bit JACK frames: JACK's 32-bit counter, extended so that its wrap after 24.9 h cannot be seen.
 * Every field that two threads touch is written by exactly one of them, with release order, and read with acquire.
 */

#define JC_MAX_STREAMS 512
#define JC_MAX_OUTPUTS 16
#define JC_GAP_SLOTS 1024
#define JC_MARK_SLOTS 1024
#define JC_MARK_WORDS 9
#define JC_RING_MAGIC 0x31474E4952434A00
#define JC_RING_VERSION 3
#define JC_RING_HEADER_BYTES 36864
#define JC_MIDI_HEAD_BYTES 12
#define JC_MIDI_CYCLE_BYTES 65536      /* the records of one cycle have at most so many bytes in a chunk */

enum jc_ring_kind { JC_AUDIO = 0, JC_MIDI = 1 };
enum jc_gap_cause {
    JC_GAP_XRUN = 0,
    JC_GAP_RING_OVERFLOW = 1,
    JC_GAP_SERVER_DOWN = 2,
    JC_GAP_MIDI_LOST = 3,
    JC_GAP_ENGINE_DIED = 4
};
enum jc_sample_format { JC_F32 = 0, JC_I24 = 1, JC_I16 = 2 };

/* ---- rings: shared memory between the process callback and the writer thread ---- */

typedef struct {
    uint64_t frame;              /* the first lost frame */
    uint64_t frames;             /* how many */
    uint64_t delivered;          /* what the ring had been given when the gap began, as `delivered` below */
    uint32_t cause;              /* enum jc_gap_cause */
    uint32_t reserved;
} jc_gap;

/*
 * The head of a ring's shared-memory file; its data follow after JC_RING_HEADER_BYTES.
 * Audio: one run of `capacity` floats per channel; `delivered` and `consumed` count frames.
 * MIDI: `capacity` bytes of records, each `u64 frame, u32 length, bytes` filled up to a multiple of 8; `delivered` and
 * `consumed` count bytes.
 */
typedef struct {
    uint64_t magic;
    uint32_t version;
    uint32_t kind;               /* enum jc_ring_kind */
    uint32_t channels;           /* of audio; 1 for MIDI */
    uint32_t capacity;           /* a power of two */
    uint32_t sample_rate;
    uint32_t reserved0[9];

    /* written by the process callback */
    uint64_t first_frame;        /* the frame of the first cycle seen; valid once `cycles` is not 0 */
    uint64_t delivered;          /* what was put in since then */
    uint64_t settled_frame;      /* the frame after the newest delivered cycle: all before it is in the ring or in a gap */
    uint64_t next_frame;         /* the frame after the newest finished cycle */
    uint64_t gaps_pushed;
    uint64_t lost_pending;       /* frames of a gap that has not ended yet */
    uint64_t cycles;
    uint64_t cycle_usecs;        /* JACK's time at the start of the newest finished cycle, */
    uint32_t cycle_frames;       /* its period, */
    uint32_t next_frame32;       /* and JACK's counter (with the test offset) at `next_frame` */
    uint64_t reserved1[6];

    /* written by the writer thread */
    uint64_t consumed;           /* what was taken out; while `guarded`, the callback never overwrites what is after it */
    uint64_t gaps_taken;
    uint64_t moved_frame;        /* of the take that runs: all before it is in chunks; stored before `consumed` */
    uint32_t guarded;            /* audio only, 0: nobody records, the oldest frames are overwritten. MIDI: always 1 */
    uint32_t reserved2;
    uint64_t reserved3[4];

    jc_gap gaps[JC_GAP_SLOTS];
} jc_ring;

/* What the process callback knows of one attached stream. */
typedef struct {
    jc_ring *ring;
    void **ports;                /* JACK ports: one per channel, or one MIDI port */
    uint64_t lost;               /* the callback's own: length of the gap that has not ended, */
    uint64_t lost_frame;         /* where it began, */
    uint32_t lost_cause;         /* and why */
    uint32_t skip_cause;         /* what frames are that JACK skipped; set before it is published to another core, else xrun */
} jc_stream;

/* ---- time ---- */

typedef struct {
    uint64_t frame;              /* at the start of a cycle */
    uint64_t usecs;              /* JACK's time at that frame */
    uint32_t nframes;            /* period of that cycle */
    uint32_t is_freewheeling;
} jc_clock;

/* Why a mark was made; none: the regular interval. */
#define JC_MARK_SERVER 1         /* the first cycle */
#define JC_MARK_GAP 2            /* JACK's frame counter jumped */
#define JC_MARK_XRUN 4           /* JACK told of an xrun */
#define JC_MARK_PERIOD 8         /* another buffer size */
#define JC_MARK_FREEWHEEL 16     /* entered or left */
#define JC_MARK_TRANSPORT 32     /* another transport state */
#define JC_MARK_RELOCATION 64    /* the transport is not where it would be by itself */
#define JC_MARK_TEMPO 128        /* another tempo or time signature */

/* An observation of JACK's clocks at the start of a cycle. `bar` is 0 where no client gives musical time. */
typedef struct {
    jc_clock clock;
    uint32_t reasons;            /* JC_MARK_... */
    uint32_t transport_state;    /* JACK's number: 0 stopped, 1 rolling, 3 starting */
    uint32_t transport_frame;
    int32_t bar;
    int32_t beat;
    int32_t tick;
    float beats_per_bar;
    float beat_type;
    double ticks_per_beat;
    double beats_per_minute;
} jc_mark;

/* ---- MIDI output ---- */

#define JC_NOT_SENT 0xFFFFFFFFFFFFFFFF
#define JC_REFUSED 0xFFFFFFFFFFFFFFFE

typedef struct {
    uint64_t frame;              /* when to send it */
    uint64_t sent_frame;         /* written by the callback: when it was sent, JC_NOT_SENT, or JC_REFUSED by JACK */
    uint32_t offset;             /* of its bytes in the schedule's */
    uint32_t length;
} jc_midi_event;

/* Events in the order of their frames. */
typedef struct {
    jc_midi_event *events;
    const uint8_t *bytes;
    uint32_t count;
    uint32_t next;               /* written by the callback: events before it are done */
} jc_midi_schedule;

typedef struct {
    void *port;
    jc_midi_schedule *schedule;  /* NULL: nothing to send. May be freed once `cycles` has grown by 2 without it */
} jc_midi_output;

/* ---- the core ---- */

/* Whether `resume_frame32` still counts: not, surely, or if the time that has passed agrees with it. */
enum jc_same_server { JC_OTHER_SERVER = 0, JC_SAME_SERVER = 1, JC_PERHAPS_SAME_SERVER = 2 };

typedef struct {
    /* set before the client is activated: libjack's functions, by the addresses that Python found */
    void *client;
    uint32_t (*last_frame_time)(void *client);
    int (*get_cycle_times)(void *client, uint32_t *frames, uint64_t *usecs, uint64_t *next_usecs, float *period);
    void *(*port_get_buffer)(void *port, uint32_t nframes);
    uint64_t (*get_time)(void);  /* JACK's microseconds, where get_cycle_times does not serve */
    uint32_t (*transport_query)(void *client, void *position);
    uint32_t (*midi_get_event_count)(void *buffer);
    int (*midi_event_get)(void *event, void *buffer, uint32_t index);
    uint32_t (*midi_get_lost_event_count)(void *buffer);
    void (*midi_clear_buffer)(void *buffer);
    size_t (*midi_max_event_size)(void *buffer);
    int (*midi_event_write)(void *buffer, uint32_t time, const uint8_t *bytes, size_t length);
    int (*pause)(uint32_t usecs);/* sleeps; called only while freewheeling, when the callback is not real-time */
    uint32_t sample_rate;
    uint32_t frame_offset;       /* added to JACK's 32-bit counter; for tests of its wrap */
    uint64_t resume_frame;       /* the 64-bit frame that an earlier server had at `resume_usecs`; 0, 0: none */
    uint64_t resume_usecs;
    uint32_t resume_frame32;     /* the counter at `resume_frame`, if the server is still the same */
    uint32_t is_same_server;     /* enum jc_same_server */

    /* written by JACK's threads */
    uint64_t now_sequence;       /* odd while `now` is being written */
    uint64_t now[JC_MARK_WORDS]; /* the jc_mark of the newest cycle, in words that are read and written whole */
    uint64_t next_frame;
    uint32_t next_frame32;       /* JACK's counter at `next_frame`, plus the offset */
    uint32_t is_freewheeling;
    uint64_t cycles;
    uint64_t backward_jumps;     /* times that the frame counter went back, as jackd's does when its period is shortened */
    uint32_t xruns;
    uint32_t shut_down;          /* the server has gone */
    uint32_t port_changes;       /* ports that came or went */
    uint32_t connection_changes; /* connections made or broken, and new latencies */

    /* the callback's own: what the marks compare with */
    jc_mark last_mark;           /* as the last cycle was, marked or not */
    uint64_t mark_due;           /* JACK's microseconds */
    uint32_t marked_xruns;
    uint32_t held_reasons;       /* of marks for which there was no room */

    uint64_t marks_pushed;       /* written by the callback */
    uint64_t marks_taken;        /* written by the writer thread */
    jc_mark marks[JC_MARK_SLOTS];

    /* written by the engine's main thread */
    uint32_t fail_at_cycle;      /* not 0: the callback fails at that cycle, as JACK then deactivates; for tests */
    uint32_t stream_slots;       /* slots below this may be in use */
    jc_stream *streams[JC_MAX_STREAMS];
    jc_midi_output *outputs[JC_MAX_OUTPUTS];
} jc_core;

/* Callbacks for JACK; `core` is a jc_core. */
int jc_process(uint32_t nframes, void *core);
int jc_xrun(void *core);
void jc_shutdown(void *core);
void jc_info_shutdown(int code, const char *reason, void *core);
void jc_freewheel(int starting, void *core);
void jc_port_registration(uint32_t port, int registered, void *core);
void jc_port_connect(uint32_t a, uint32_t b, int connected, void *core);
void jc_latency(int mode, void *core);
void jc_discard_message(const char *message);

/* For the engine's other threads. */
int jc_read_now(const jc_core *core, jc_mark *out);
uint64_t jc_cycles(const jc_core *core);
uint64_t jc_next_frame(const jc_core *core);
void jc_set_stream(jc_core *core, uint32_t slot, jc_stream *stream);
uint32_t jc_take_marks(jc_core *core, jc_mark *out, uint32_t most);

void jc_set_output(jc_core *core, uint32_t slot, jc_midi_output *output);
void jc_set_schedule(jc_midi_output *output, jc_midi_schedule *schedule);
uint32_t jc_events_done(const jc_midi_schedule *schedule);
uint32_t jc_next_inexact(const jc_midi_schedule *schedule, uint32_t from);

/* For the writer thread. */
void jc_ring_init(jc_ring *ring, uint32_t kind, uint32_t channels, uint32_t capacity, uint32_t sample_rate);
uint64_t jc_ring_settled_frame(const jc_ring *ring);
uint64_t jc_ring_delivered(const jc_ring *ring);
uint64_t jc_ring_next_frame(const jc_ring *ring);
uint64_t jc_ring_cycles(const jc_ring *ring);
uint32_t jc_ring_take_gaps(jc_ring *ring, jc_gap *out, uint32_t most);
void jc_ring_guard(jc_ring *ring, uint64_t consumed);
void jc_ring_unguard(jc_ring *ring);
void jc_ring_consume(jc_ring *ring, uint64_t consumed, uint64_t moved_frame);
void jc_ring_adopt(jc_ring *ring, jc_stream *stream);
uint32_t jc_ring_known_gaps(const jc_ring *ring, jc_gap *out);
uint64_t jc_ring_read(const jc_ring *ring, uint64_t from, uint32_t frames, uint32_t sample_format, void *out);

/* MIDI clock, counted by the records that a move has seen. */
typedef struct {
    uint64_t ticks;
    uint64_t ticks_since_start;
    uint32_t is_running;
    uint32_t reserved;
} jc_midi_clock;

/* Where a reader of MIDI records stands. */
typedef struct {
    uint64_t taken;              /* bytes of the ring */
    uint64_t written;            /* bytes of the chunk */
    uint64_t full_frame;         /* the frame whose records do not fit any more, if `is_full` */
    uint32_t is_full;
    uint32_t reserved;
    jc_midi_clock clock;
} jc_midi_cursor;

uint64_t jc_midi_skip(const jc_ring *ring, uint64_t taken, uint64_t delivered, uint64_t frame);
void jc_midi_move(const jc_ring *ring, jc_midi_cursor *cursor, uint64_t delivered, uint64_t until_frame,
                  uint64_t frame_to_position, uint8_t *chunk, uint64_t chunk_bytes);
