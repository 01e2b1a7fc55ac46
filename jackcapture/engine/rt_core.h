/*
 * The real-time core. This file is both what rt_core.c includes and what CFFI reads, so it holds plain declarations.
 *
 * Frames are 64-bit JACK frames: JACK's 32-bit counter, extended so that its wrap after 24.9 h cannot be seen.
 * Every field that two threads touch is written by exactly one of them, with release order, and read with acquire.
 */

#define JC_MAX_STREAMS 512
#define JC_GAP_SLOTS 1024
#define JC_RING_MAGIC 0x31474E4952434A00
#define JC_RING_VERSION 1
#define JC_RING_HEADER_BYTES 32768

enum jc_gap_cause { JC_GAP_XRUN = 0, JC_GAP_RING_OVERFLOW = 1, JC_GAP_SERVER_DOWN = 2 };
enum jc_sample_format { JC_F32 = 0, JC_I24 = 1, JC_I16 = 2 };

typedef struct {
    uint64_t delivered;          /* frames that the ring had been given when the gap began */
    uint64_t frames;             /* its length */
    uint32_t cause;              /* enum jc_gap_cause */
    uint32_t reserved;
} jc_gap;

/* The head of a ring's shared-memory file; the samples follow, one run of `capacity` floats per channel. */
typedef struct {
    uint64_t magic;
    uint32_t version;
    uint32_t channels;
    uint32_t capacity;           /* frames; a power of two */
    uint32_t sample_rate;
    uint64_t reserved0[5];

    /* written by the process callback */
    uint64_t first_frame;        /* the frame of the first cycle seen; valid once `cycles` is not 0 */
    uint64_t delivered;          /* frames put in since then */
    uint64_t next_frame;         /* the frame after the newest finished cycle */
    uint64_t gaps_pushed;
    uint64_t lost_pending;       /* frames of a gap that has not ended yet */
    uint64_t cycles;
    uint64_t reserved1[2];

    /* written by the writer thread */
    uint64_t consumed;           /* frames taken out; while `guarded`, the callback never overwrites those after it */
    uint64_t gaps_taken;
    uint32_t guarded;            /* 0: nobody records, the oldest frames are overwritten */
    uint32_t reserved2;
    uint64_t reserved3[5];

    jc_gap gaps[JC_GAP_SLOTS];
} jc_ring;

/* What the process callback knows of one attached stream. */
typedef struct {
    jc_ring *ring;
    void **ports;                /* ring->channels JACK ports */
    uint64_t lost;               /* the callback's own: length of the gap that has not ended */
    uint32_t lost_cause;
    uint32_t was_down;           /* set before it is published to the core of a new server: what is missing was its absence */
} jc_stream;

typedef struct {
    uint64_t frame;              /* at the start of the newest cycle */
    uint64_t usecs;              /* JACK's time at that frame */
    uint32_t nframes;            /* period of that cycle */
    uint32_t reserved;
} jc_clock;

typedef struct {
    /* set before the client is activated */
    void *client;
    uint32_t (*last_frame_time)(void *client);
    int (*get_cycle_times)(void *client, uint32_t *frames, uint64_t *usecs, uint64_t *next_usecs, float *period);
    void *(*port_get_buffer)(void *port, uint32_t nframes);
    uint64_t (*get_time)(void);  /* JACK's microseconds, where get_cycle_times does not serve */
    int (*pause)(uint32_t usecs);/* sleeps; called only while freewheeling, when the callback is not real-time */
    uint32_t sample_rate;
    uint32_t frame_offset;       /* added to JACK's 32-bit counter; for tests of its wrap */
    uint64_t resume_frame;       /* the 64-bit frame that an earlier server had at `resume_usecs`; 0, 0: none */
    uint64_t resume_usecs;
    uint32_t resume_frame32;     /* the counter at `resume_frame`, if the server is still the same */
    uint32_t is_same_server;

    /* written by JACK's threads */
    uint64_t clock_sequence;     /* odd while `clock` is being written */
    jc_clock clock;
    uint64_t next_frame;
    uint32_t next_frame32;       /* JACK's counter at `next_frame`, plus the offset */
    uint32_t is_freewheeling;
    uint64_t cycles;
    uint64_t backward_jumps;     /* times that the frame counter went back, as jackd's does when its period is shortened */
    uint32_t xruns;
    uint32_t shut_down;          /* the server has gone */
    uint32_t graph_changes;
    uint32_t reserved;

    /* written by the engine's main thread */
    uint32_t fail_at_cycle;      /* not 0: the callback fails at that cycle, as JACK then deactivates; for tests */
    uint32_t stream_slots;       /* slots below this may be in use */
    jc_stream *streams[JC_MAX_STREAMS];
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
int jc_read_clock(const jc_core *core, jc_clock *out);
uint64_t jc_cycles(const jc_core *core);
uint64_t jc_next_frame(const jc_core *core);
void jc_set_stream(jc_core *core, uint32_t slot, jc_stream *stream);

void jc_ring_init(jc_ring *ring, uint32_t channels, uint32_t capacity, uint32_t sample_rate);
uint64_t jc_ring_delivered(const jc_ring *ring);
uint64_t jc_ring_next_frame(const jc_ring *ring);
uint64_t jc_ring_cycles(const jc_ring *ring);
uint32_t jc_ring_take_gaps(jc_ring *ring, jc_gap *out, uint32_t most);
void jc_ring_guard(jc_ring *ring, uint64_t consumed);
void jc_ring_unguard(jc_ring *ring);
void jc_ring_consume(jc_ring *ring, uint64_t consumed);
uint64_t jc_ring_read(const jc_ring *ring, uint64_t from, uint32_t frames, uint32_t sample_format, void *out);
