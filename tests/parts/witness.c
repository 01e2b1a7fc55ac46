/*
 * witness: a libjack that writes down what JACK hands to the program that uses it, cycle by cycle.
 *
 * It is built as a libjack.so.0 that stands before the real one: a program that finds it first (LD_LIBRARY_PATH) gets
 * the functions below from it, and all others from the real libjack, which it brings along. JACK calls a client when
 * it likes, late or not at all, and nobody but the client sees it: a client of its own, however near, is called in
 * other cycles. Here the program itself is watched, from outside of its code.
 *
 *     WITNESS_LOG    the file of the log, which begins anew with the first client
 *     WITNESS_PORTS  the ports to watch are those named <this>_1, <this>_2 ...
 *     WITNESS_REAL   the path of the real libjack
 *
 * Each call of the process callback becomes one record of an event log (see part.h), with the value of
 * jack_last_frame_time that the program was given as its frame. Its bytes are, as u32, the number of the client (1 for
 * the first that the program opened) and the frames of the call; as u64 the microseconds that the program was given by
 * jack_get_cycle_times or, where that refused, by jack_get_time; and then the samples of each watched port whose buffer
 * the program asked for.
 *
 * What is written down is what the program got, whatever JACK's threads do meanwhile: the frame is the same for the
 * whole call, and a watched port's buffer is a copy that nobody changes.
 */
#include "part.h"

#include <dlfcn.h>
#include <pthread.h>

enum { MOST_PORTS = 8, MOST_FRAMES = 8192 };

typedef int (*process_callback)(jack_nframes_t frames, void *arg);

static struct {
	int (*set_process_callback)(jack_client_t *client, process_callback callback, void *arg);
	jack_nframes_t (*last_frame_time)(const jack_client_t *client);
	int (*get_cycle_times)(const jack_client_t *client, jack_nframes_t *frame, jack_time_t *usecs,
	                       jack_time_t *next_usecs, float *period_usecs);
	jack_time_t (*get_time)(void);
	jack_port_t *(*port_register)(jack_client_t *client, const char *name, const char *type, unsigned long flags,
	                              unsigned long buffer_size);
	void *(*port_get_buffer)(jack_port_t *port, jack_nframes_t frames);
} real;

/* One record's bytes. */
static struct {
	uint32_t client;
	uint32_t frames;
	uint64_t usecs;
	float samples[MOST_PORTS * MOST_FRAMES];
} seen;

enum { SEEN_HEAD = 16 };

static struct part part = { .program = "witness" };
static struct event_log event_log;
static const char *port_prefix;
static jack_port_t *_Atomic ports[MOST_PORTS];
static pthread_t drainer;
static atomic_bool ending;

static process_callback program_callback;
static void *program_arg;
static uint32_t client_number;
static uint32_t ports_seen;         /* in this call, as the next: */
static jack_nframes_t frame_of_call;
static bool has_frame;
static _Thread_local bool in_call;  /* this is the process thread, within a call */

static void find(void *libjack, const char *name, void *function)
{
	void *const address = dlsym(libjack, name);
	if (!address)
		fail(&part, USAGE, "the real libjack has no %s", name);
	memcpy(function, &address, sizeof address);
}

static const char *environment(const char *name)
{
	const char *value = getenv(name);
	if (!value || !*value)
		fail(&part, USAGE, "%s is needed", name);
	return value;
}

__attribute__((constructor)) static void begin(void)
{
	void *const libjack = dlopen(environment("WITNESS_REAL"), RTLD_NOW);
	if (!libjack)
		fail(&part, USAGE, "%s", dlerror());
	port_prefix = environment("WITNESS_PORTS");
	find(libjack, "jack_set_process_callback", &real.set_process_callback);
	find(libjack, "jack_last_frame_time", &real.last_frame_time);
	find(libjack, "jack_get_cycle_times", &real.get_cycle_times);
	find(libjack, "jack_get_time", &real.get_time);
	find(libjack, "jack_port_register", &real.port_register);
	find(libjack, "jack_port_get_buffer", &real.port_get_buffer);
}

static void *drain(void *unused)
{
	(void)unused;
	while (!atomic_load(&ending)) {
		log_drain(&part, &event_log);
		usleep(TICK_MILLISECONDS * 1000);
	}
	log_drain(&part, &event_log);
	return NULL;
}

__attribute__((destructor)) static void end(void)
{
	if (client_number) {
		atomic_store(&ending, true);
		pthread_join(drainer, NULL);
	}
}

/* On a thread that the program's signals do not meet. */
static void begin_log(void)
{
	sigset_t all, before;
	log_open(&part, &event_log, environment("WITNESS_LOG"));
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&drainer, NULL, drain, NULL))
		fail(&part, NO_JACK, "cannot start a thread");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int process(jack_nframes_t frames, void *client)
{
	if (frames > MOST_FRAMES)
		abort();
	seen.client = client_number;
	seen.frames = frames;
	seen.usecs = 0;
	ports_seen = 0;
	has_frame = false;
	in_call = true;
	const int result = program_callback(frames, program_arg);
	in_call = false;
	if (!has_frame)
		frame_of_call = real.last_frame_time(client);

	const size_t bytes = SEEN_HEAD + (size_t)ports_seen * frames * sizeof(float);
	while (!log_has_room(&event_log, bytes))
		usleep(TICK_MILLISECONDS * 1000); /* rather a late client than a log with holes */
	log_put(&event_log, frame_of_call, (const unsigned char *)&seen, bytes);
	return result;
}

int jack_set_process_callback(jack_client_t *client, process_callback callback, void *arg)
{
	if (!client_number)
		begin_log();
	client_number++;
	program_callback = callback;
	program_arg = arg;
	return real.set_process_callback(client, process, client);
}

jack_nframes_t jack_last_frame_time(const jack_client_t *client)
{
	if (!in_call)
		return real.last_frame_time(client);
	if (!has_frame)
		frame_of_call = real.last_frame_time(client);
	has_frame = true;
	return frame_of_call;
}

extern int jack_get_cycle_times(const jack_client_t *client, jack_nframes_t *frame, jack_time_t *usecs,
                                jack_time_t *next_usecs, float *period_usecs);

int jack_get_cycle_times(const jack_client_t *client, jack_nframes_t *frame, jack_time_t *usecs,
                         jack_time_t *next_usecs, float *period_usecs)
{
	const int result = real.get_cycle_times(client, frame, usecs, next_usecs, period_usecs);
	if (in_call && !result)
		seen.usecs = *usecs;
	return result;
}

jack_time_t jack_get_time(void)
{
	const jack_time_t now = real.get_time();
	if (in_call && !seen.usecs)
		seen.usecs = now;
	return now;
}

jack_port_t *jack_port_register(jack_client_t *client, const char *name, const char *type, unsigned long flags,
                                unsigned long buffer_size)
{
	jack_port_t *const port = real.port_register(client, name, type, flags, buffer_size);
	const size_t length = strlen(port_prefix);
	if (!strncmp(name, port_prefix, length) && name[length] == '_') {
		const uint32_t number = whole(&part, "a watched port", name + length + 1, 1, MOST_PORTS);
		atomic_store(&ports[number - 1], port);
	}
	return port;
}

void *jack_port_get_buffer(jack_port_t *port, jack_nframes_t frames)
{
	void *const buffer = real.port_get_buffer(port, frames);
	if (!in_call || ports_seen == MOST_PORTS || port != atomic_load(&ports[ports_seen]))
		return buffer;
	float *const copy = seen.samples + (size_t)ports_seen++ * frames;
	if (buffer)
		memcpy(copy, buffer, frames * sizeof(float));
	else
		memset(copy, 0, frames * sizeof(float));
	return copy;
}
