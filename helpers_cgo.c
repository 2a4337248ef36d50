#define _GNU_SOURCE /* vasprintf */

#include "helpers_cgo.h"

#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "_cgo_export.h"

/* Logging. */

static int log_level = -1;
static __thread uintptr_t log_watcher;
static __thread bool log_muted;

void golibbpf_log_set_level(int level)
{
	__atomic_store_n(&log_level, level, __ATOMIC_RELAXED);
}

/*
 * Blocks all signals but those of faults, which can't be postponed. A pending signal would make the
 * kernel end a test run, and end the verification of a program with EAGAIN.
 */
static void hold_signals(sigset_t *before)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
	sigset_t set;
	size_t i;

	sigfillset(&set);
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&set, faults[i]);
	pthread_sigmask(SIG_BLOCK, &set, before);
}

static void release_signals(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

void golibbpf_watch_begin(struct golibbpf_watch *before, uintptr_t watcher)
{
	before->watcher = log_watcher;
	log_watcher = watcher;
	hold_signals(&before->signals);
}

void golibbpf_watch_end(const struct golibbpf_watch *before)
{
	release_signals(&before->signals);
	log_watcher = before->watcher;
}

static int log_print(enum libbpf_print_level level, const char *format, va_list args)
{
	bool watched = log_watcher && level == LIBBPF_WARN;
	char *message;
	int size;

	if (log_muted || (!watched && (int)level > __atomic_load_n(&log_level, __ATOMIC_RELAXED)))
		return 0;

	size = vasprintf(&message, format, args);
	if (size >= 0) {
		golibbpf_log(log_watcher, level, message, size);
		free(message);
	}
	return size;
}

void golibbpf_log_install(void)
{
	libbpf_set_print(log_print);
}

/*
 * Clears the padding after the last option, too: libbpf refuses options if it isn't zero, and
 * LIBBPF_OPTS() leaves it undefined.
 */
#define CLEAR_OPTS(opts)                                                                           \
	do {                                                                                       \
		memset(&(opts), 0, sizeof(opts));                                                  \
		(opts).sz = sizeof(opts);                                                          \
	} while (0)

/* The shared library of libbpf 1.1 does not export this function. */
#pragma weak libbpf_set_memlock_rlim

void golibbpf_leave_memlock_limit(void)
{
	if (libbpf_set_memlock_rlim)
		libbpf_set_memlock_rlim(0);
}

/* Objects. */

struct bpf_object *golibbpf_object_open(const void *buf, size_t size, const char *name,
					const char *btf_path, const char *kconfig,
					const char *token_path, unsigned int kernel_log_level)
{
	struct bpf_object_open_opts opts;
	struct bpf_object *obj;

	CLEAR_OPTS(opts);
	opts.object_name = name;
	opts.btf_custom_path = btf_path;
	opts.kconfig = kconfig;
	opts.kernel_log_level = kernel_log_level;
#if !GOLIBBPF_BEFORE(1, 4)
	opts.bpf_token_path = token_path;
#endif
	obj = bpf_object__open_mem(buf, size, &opts);
	/*
	 * A wrong size in a damaged object can become an error code outside of the range of error
	 * pointers. libbpf then returns the code as if it were an object.
	 */
	if ((intptr_t)obj >= INT_MIN && (intptr_t)obj < 0) {
		errno = EINVAL;
		return NULL;
	}
	return obj;
}

/* Programs. */

struct bpf_link *golibbpf_attach_iter(const struct bpf_program *prog, uint32_t map_fd,
				      uint32_t cgroup_order, uint32_t cgroup_fd, uint64_t cgroup_id,
				      uint32_t tid, uint32_t pid, uint32_t pid_fd)
{
	union bpf_iter_link_info info = {};
	struct bpf_iter_attach_opts opts;

	CLEAR_OPTS(opts);
	opts.link_info = &info;
	opts.link_info_len = sizeof(info);
	if (map_fd) {
		info.map.map_fd = map_fd;
	} else if (cgroup_order || cgroup_fd || cgroup_id) {
		info.cgroup.order = cgroup_order;
		info.cgroup.cgroup_fd = cgroup_fd;
		info.cgroup.cgroup_id = cgroup_id;
	} else if (tid || pid || pid_fd) {
		info.task.tid = tid;
		info.task.pid = pid;
		info.task.pid_fd = pid_fd;
	} else {
		return bpf_program__attach_iter(prog, NULL);
	}
	return bpf_program__attach_iter(prog, &opts);
}

#define ORDER_OPTS(opts, order)                                                                    \
	do {                                                                                       \
		CLEAR_OPTS(opts);                                                                  \
		(opts).flags = (order).flags;                                                      \
		(opts).relative_fd = (order).relative_fd;                                          \
		(opts).relative_id = (order).relative_id;                                          \
		(opts).expected_revision = (order).expected_revision;                              \
	} while (0)

struct bpf_link *golibbpf_attach_tcx(const struct bpf_program *prog, int ifindex,
				     struct golibbpf_order order)
{
#if GOLIBBPF_BEFORE(1, 3)
	return NULL;
#else
	struct bpf_tcx_opts opts;

	ORDER_OPTS(opts, order);
	return bpf_program__attach_tcx(prog, ifindex, &opts);
#endif
}

struct bpf_link *golibbpf_attach_netkit(const struct bpf_program *prog, int ifindex,
					struct golibbpf_order order)
{
#if GOLIBBPF_BEFORE(1, 3)
	return NULL;
#else
	struct bpf_netkit_opts opts;

	ORDER_OPTS(opts, order);
	return bpf_program__attach_netkit(prog, ifindex, &opts);
#endif
}

struct bpf_link *golibbpf_attach_cgroup(const struct bpf_program *prog, int cgroup_fd,
					struct golibbpf_order order)
{
#if GOLIBBPF_BEFORE(1, 6)
	return NULL;
#else
	struct bpf_cgroup_opts opts;

	ORDER_OPTS(opts, order);
	return bpf_program__attach_cgroup_opts(prog, cgroup_fd, &opts);
#endif
}

struct bpf_link *golibbpf_attach_netfilter(const struct bpf_program *prog, uint32_t family,
					   uint32_t hook, int32_t priority, uint32_t flags)
{
#if GOLIBBPF_BEFORE(1, 3)
	return NULL;
#else
	struct bpf_netfilter_opts opts;

	CLEAR_OPTS(opts);
	opts.pf = family;
	opts.hooknum = hook;
	opts.priority = priority;
	opts.flags = flags;
	return bpf_program__attach_netfilter(prog, &opts);
#endif
}

struct bpf_link *golibbpf_attach_raw_tracepoint(const struct bpf_program *prog, const char *name,
						uint64_t cookie)
{
#if GOLIBBPF_BEFORE(1, 4)
	return NULL;
#else
	struct bpf_raw_tracepoint_opts opts;

	CLEAR_OPTS(opts);
	opts.cookie = cookie;
	return bpf_program__attach_raw_tracepoint_opts(prog, name, &opts);
#endif
}

struct bpf_link *golibbpf_attach_kprobe_multi(const struct bpf_program *prog, const char *pattern,
					      char **symbols, const unsigned long *addresses,
					      const uint64_t *cookies, size_t count, bool retprobe,
					      bool session)
{
	struct bpf_kprobe_multi_opts opts;

	CLEAR_OPTS(opts);
	opts.syms = (const char **)symbols;
	opts.addrs = addresses;
	opts.cookies = (const __u64 *)cookies;
	opts.cnt = count;
	opts.retprobe = retprobe;
#if !GOLIBBPF_BEFORE(1, 5)
	opts.session = session;
#endif
	return bpf_program__attach_kprobe_multi_opts(prog, pattern, &opts);
}

struct bpf_link *golibbpf_attach_uprobe_multi(const struct bpf_program *prog, pid_t pid,
					      const char *path, const unsigned long *offsets,
					      const unsigned long *ref_ctr_offsets,
					      const uint64_t *cookies, size_t count, bool retprobe,
					      bool session)
{
#if GOLIBBPF_BEFORE(1, 3)
	errno = ENOTSUP;
	return NULL;
#else
	struct bpf_uprobe_multi_opts opts;

	CLEAR_OPTS(opts);
	opts.offsets = offsets;
	opts.ref_ctr_offsets = ref_ctr_offsets;
	opts.cookies = (const __u64 *)cookies;
	opts.cnt = count;
	opts.retprobe = retprobe;
#if !GOLIBBPF_BEFORE(1, 6)
	opts.session = session;
#endif
	return bpf_program__attach_uprobe_multi(prog, pid, path, NULL, &opts);
#endif
}

const void *golibbpf_map_initial_value(const struct bpf_map *map, const struct bpf_object *object,
				       size_t *size)
{
	const struct btf_type *type;
	const void *value;

	*size = 0;
	value = bpf_map__initial_value((struct bpf_map *)map, size);
	if (value && bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS) {
		/* After the load, libbpf's size is that of the kernel's type, not of the memory. */
		type = btf__type_by_id(bpf_object__btf(object), bpf_map__btf_value_type_id(map));
		if (!type)
			*size = 0;
		else if (type->size < *size)
			*size = type->size;
	}
	return value;
}

int golibbpf_prog_run(int prog_fd, struct bpf_test_run_opts *opts, const char *data_in,
		      char *data_out, const char *ctx_in, char *ctx_out)
{
	struct bpf_test_run_opts run = *opts;
	sigset_t before;
	int err;

	run.data_in = data_in;
	run.data_out = data_out;
	run.ctx_in = ctx_in;
	run.ctx_out = ctx_out;
	hold_signals(&before);
	err = bpf_prog_test_run_opts(prog_fd, &run);
	release_signals(&before);
	opts->data_size_out = run.data_size_out;
	opts->ctx_size_out = run.ctx_size_out;
	opts->retval = run.retval;
	opts->duration = run.duration;
	return err;
}

bool golibbpf_probe_perf_link(const struct bpf_program *prog)
{
	/* Every kernel refuses a descriptor that is no perf event. */
	int fd = eventfd(0, EFD_CLOEXEC);

	if (fd < 0)
		return false;
	log_muted = true;
	bpf_program__attach_perf_event(prog, fd);
	log_muted = false;
	close(fd);
	return true;
}

/* Events. */

/* Ends ring_buffer__consume() after the current record, which counts as consumed. */
#define STOP_CONSUMING -ECANCELED

#define ALIGN_RECORD(size)                                                                         \
	(((size) + GOLIBBPF_RECORD_ALIGN - 1) & ~(size_t)(GOLIBBPF_RECORD_ALIGN - 1))

/* Stores a record that doesn't fit into the batch for the next call. */
static void spill(struct golibbpf_source *source, const void *record, size_t size)
{
	if (size > source->spill_cap) {
		char *memory = realloc(source->spill, size);

		if (!memory) {
			source->err = -ENOMEM;
			return;
		}
		source->spill = memory;
		source->spill_cap = size;
	}
	memcpy(source->spill, record, size);
	source->spill_len = size;
	source->spilled = true;
}

/* memcpy() for small sizes from 16 bytes on. The last 16 bytes may overlap the ones before. */
static inline void copy_small(char *to, const char *from, size_t size)
{
	size_t i;

	for (i = 0; i + 16 < size; i += 16)
		memcpy(to + i, from + i, 16);
	memcpy(to + size - 16, from + size - 16, 16);
}

/*
 * The processor's own prefetching ends at the page's end, so take() prefetches a page ahead. It
 * does so only if the ring has that much more, because prefetching a cache line that the kernel is
 * writing to slows both down. Discarded records aren't counted, so this is an estimate.
 */
#define FETCH_AHEAD 4096

static void set_ahead(struct golibbpf_reader *reader, size_t available)
{
	size_t most = reader->limit - reader->next +
		      GOLIBBPF_RECORD_HEADER * (reader->last_end - reader->next_end);

	reader->ahead = available > most + FETCH_AHEAD ? FETCH_AHEAD : 0;
}

/* Adds a record that was copied to the batch's memory to the batch. Returns as take(). */
static inline bool append(struct golibbpf_reader *reader, char *to, size_t size)
{
	char *next = to + ALIGN_RECORD(size);

	*reader->next_end++ = to + size - reader->data;
	reader->next = next;
	/* Assume that the next record has the same size. */
	if (size <= (size_t)(reader->limit - next) && reader->next_end < reader->last_end)
		return false;
	return reader->full = true;
}

/* The rare cases of take(), in a function of its own so that take() needs no stack. */
static __attribute__((noinline)) bool take_slowly(struct golibbpf_reader *reader,
						  const void *record, size_t size)
{
	char *to = reader->next;

	/* Another process reads the ring, too, and the kernel has overwritten this record. */
	if (reader->source->rb && size > reader->source->ring_size) {
		reader->source->err = -EBADMSG;
		return reader->full = true;
	}
	if (size > (size_t)(reader->limit - to)) {
		spill(reader->source, record, size);
		return reader->full = true;
	}
	memcpy(to, record, size);
	return append(reader, to, size);
}

/* Takes a record that was consumed. Returns true if it must be the last one of this call. */
static inline bool take(struct golibbpf_reader *reader, const void *record, size_t size)
{
	char *to = reader->next;

	__builtin_prefetch((const char *)record + reader->ahead);
	if (size < 16 || size > 128 || size > (size_t)(reader->limit - to))
		return take_slowly(reader, record, size);
	copy_small(to, record, size);
	return append(reader, to, size);
}

/* Returns the number of records in the batch. */
static size_t taken(const struct golibbpf_reader *reader)
{
	return reader->next_end - reader->ends;
}

static int ring_record(void *ctx, void *record, size_t size)
{
	struct golibbpf_reader *reader = ctx;

	return take(reader, record, size) ? STOP_CONSUMING : 0;
}

static enum bpf_perf_event_ret perf_event(void *ctx, int cpu, struct perf_event_header *event)
{
	struct golibbpf_reader *reader = ctx;
	bool last = false;

	reader->cpu = cpu;
	if (reader->source->raw) {
		last = take(reader, event, event->size);
	} else if (event->type == PERF_RECORD_SAMPLE) {
		const struct {
			struct perf_event_header header;
			uint32_t size;
			char data[];
		} *sample = (const void *)event;

		last = take(reader, sample->data, sample->size);
	} else if (event->type == PERF_RECORD_LOST) {
		const struct {
			struct perf_event_header header;
			uint64_t id;
			uint64_t lost;
		} *lost = (const void *)event;

		/* The loss follows the batch's records, so it ends the batch. */
		reader->lost = lost->lost;
		reader->full = true;
		last = true;
	}
	return last ? LIBBPF_PERF_EVENT_DONE : LIBBPF_PERF_EVENT_CONT;
}

struct golibbpf_reader *golibbpf_reader_new(size_t sources)
{
	return calloc(1, sizeof(struct golibbpf_reader) + sources * sizeof(struct golibbpf_source));
}

int golibbpf_reader_add_ring(struct golibbpf_reader *reader, int map_fd)
{
	struct golibbpf_source *source = &reader->sources[reader->source_count];
	struct bpf_map_info info = {};
	__u32 length = sizeof(info);

	source->rb = ring_buffer__new(map_fd, ring_record, reader, NULL);
	if (!source->rb)
		return -errno;
	reader->source_count++;
	if (bpf_obj_get_info_by_fd(map_fd, &info, &length))
		return -errno;
	source->ring_size = info.max_entries;
#if GOLIBBPF_BEFORE(1, 3)
	source->positions = mmap(NULL, 2 * sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, map_fd, 0);
	if (source->positions == MAP_FAILED) {
		source->positions = NULL;
		return -errno;
	}
#endif
	return 0;
}

/*
 * Uses perf_buffer__new_raw(), because its callback can stop a call when the batch is full. The
 * callback for samples of perf_buffer__new() can't.
 */
int golibbpf_reader_add_perf(struct golibbpf_reader *reader, int map_fd, size_t pages,
			     const void *attr, int *cpus, int *keys, int cpu_count, bool raw)
{
	struct perf_buffer_raw_opts opts;
	struct perf_buffer *pb;

	CLEAR_OPTS(opts);
	opts.cpu_cnt = cpu_count;
	opts.cpus = cpus;
	opts.map_keys = keys;
	pb = perf_buffer__new_raw(map_fd, pages, (struct perf_event_attr *)attr, perf_event, reader,
				  &opts);
	if (!pb)
		return -errno;
	reader->sources[reader->source_count].raw = raw;
	reader->sources[reader->source_count++].pb = pb;
	return 0;
}

void golibbpf_reader_free(struct golibbpf_reader *reader)
{
	size_t i;

	if (!reader)
		return;
	for (i = 0; i < reader->source_count; i++) {
		ring_buffer__free(reader->sources[i].rb);
		perf_buffer__free(reader->sources[i].pb);
		free(reader->sources[i].spill);
		if (reader->sources[i].positions)
			munmap((void *)reader->sources[i].positions, 2 * sysconf(_SC_PAGESIZE));
	}
	free(reader);
}

int golibbpf_source_epoll_fd(const struct golibbpf_source *source)
{
	return source->rb ? ring_buffer__epoll_fd(source->rb) : perf_buffer__epoll_fd(source->pb);
}

/* Returns the position up to which the ring was read, discarded records included. */
static unsigned long ring_position(const struct golibbpf_source *source)
{
#if GOLIBBPF_BEFORE(1, 3)
	return __atomic_load_n((const unsigned long *)source->positions, __ATOMIC_ACQUIRE);
#else
	return ring__consumer_pos(ring_buffer__ring(source->rb, 0));
#endif
}

static size_t ring_available(const struct golibbpf_source *source)
{
#if GOLIBBPF_BEFORE(1, 3)
	const char *page = source->positions + sysconf(_SC_PAGESIZE);
	unsigned long position = ring_position(source);

	return __atomic_load_n((const unsigned long *)page, __ATOMIC_ACQUIRE) - position;
#else
	return ring__avail_data_size(ring_buffer__ring(source->rb, 0));
#endif
}

static int ring_fill(struct golibbpf_reader *reader, struct golibbpf_source *source)
{
	unsigned long before;
	int err;

	/*
	 * When a record is committed, the kernel wakes the reader only if the reader's position has
	 * reached this record. libbpf stores the reader's position and then loads the producer's.
	 * The processor may reorder the two: a record that is committed in between is then neither
	 * seen here nor does it wake the reader. libbpf's own poll() isn't affected, because
	 * epoll_wait() checks the ring again; the runtime's poller is, because it is
	 * edge-triggered. So look again after a full barrier, until the position doesn't change any
	 * more.
	 */
	for (;;) {
		before = ring_position(source);
		set_ahead(reader, ring_available(source));
		err = ring_buffer__consume(source->rb);
		if (reader->full)
			break;
		if (err < 0)
			return err;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (ring_position(source) == before)
			break;
	}
	return 0;
}

/* Returns the number of unread bytes in a CPU's buffer. */
static size_t perf_remaining(const struct perf_buffer *pb, size_t buffer)
{
	const struct perf_event_mmap_page *page;
	void *memory;
	size_t size;

	if (perf_buffer__buffer((struct perf_buffer *)pb, buffer, &memory, &size))
		return 0;
	page = memory;
	return __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE) - page->data_tail;
}

size_t golibbpf_reader_available(const struct golibbpf_reader *reader, size_t index)
{
	if (reader->sources[0].pb)
		return perf_remaining(reader->sources[0].pb, index);
	return ring_available(&reader->sources[index]);
}

/* Returns the number of bytes after the batch: those in its ring, and a spilled record. */
static size_t remaining(const struct golibbpf_reader *reader)
{
	const struct golibbpf_source *source = reader->source;
	size_t size = golibbpf_reader_available(reader, reader->found);

	if (source->spilled && (source->rb || source->next_buffer == (size_t)reader->found))
		size += (source->raw ? 0 : GOLIBBPF_RECORD_HEADER) +
			ALIGN_RECORD(source->spill_len);
	return size;
}

/*
 * Fills the batch from one CPU's buffer. If only is negative, each call takes another CPU's buffer;
 * otherwise it takes the one with that index.
 */
static int perf_fill(struct golibbpf_reader *reader, struct golibbpf_source *source, int only)
{
	size_t n = perf_buffer__buffer_cnt(source->pb), looked;
	int err;

	for (looked = 0; looked < n && !reader->full && !taken(reader); looked++) {
		size_t i = only < 0 ? source->next_buffer : only;

		reader->found = i;
		set_ahead(reader, perf_remaining(source->pb, i));
		err = perf_buffer__consume_buffer(source->pb, i);
		source->next_buffer = source->spilled ? i : (i + 1) % n;
		if (err < 0)
			return err;
		if (only >= 0)
			break;
	}
	return 0;
}

static int source_fill(struct golibbpf_reader *reader, struct golibbpf_source *source, int only)
{
	int err = source->err;

	source->err = 0;
	if (err)
		return err;
	if (source->spilled) {
		if (source->spill_len > (size_t)(reader->limit - reader->next)) {
			reader->need = source->spill_len;
			return -ENOBUFS;
		}
		source->spilled = false;
		take(reader, source->spill, source->spill_len);
		reader->cpu = source->spill_cpu;
		if (source->pb) {
			reader->found = source->next_buffer;
			return 0;
		}
	}
	if (!reader->full)
		err = source->rb ? ring_fill(reader, source) : perf_fill(reader, source, only);
	if (source->spilled)
		source->spill_cpu = reader->cpu;
	if (!taken(reader) && !reader->lost)
		return err;
	/* Return the records first, the error with the next call. */
	if (err) {
		source->err = err;
		reader->full = true;
	}
	return 0;
}

int golibbpf_reader_consume(struct golibbpf_reader *reader, char *data, size_t size, size_t start,
			    uint32_t *ends, size_t max, int only)
{
	size_t looked;
	int err = 0, n;

	ends[0] = start;
	reader->data = data;
	reader->next = reader->data + start;
	reader->limit = reader->data + size;
	reader->ends = reader->next_end = ends + 1;
	reader->last_end = reader->ends + max;
	reader->lost = 0;
	reader->remaining = 0;
	reader->need = 0;
	reader->full = false;
	for (looked = 0; looked < reader->source_count; looked++) {
		size_t i = only < 0 || reader->sources[0].pb ? reader->next_source : only;

		reader->next_source = (i + 1) % reader->source_count;
		reader->source = &reader->sources[i];
		reader->found = i;
		err = source_fill(reader, reader->source, only);
		if (err == -ENOBUFS)
			reader->next_source = i;
		if (err || taken(reader) || reader->lost || only >= 0)
			break;
	}
	if (taken(reader))
		reader->remaining = remaining(reader);
	reader->more = reader->full || ((taken(reader) || reader->lost) &&
					(reader->source_count > 1 || reader->source->pb));
	n = taken(reader);
	/* This is Go's memory, which may be freed after the call. */
	reader->data = reader->next = reader->limit = NULL;
	reader->ends = reader->next_end = reader->last_end = NULL;
	return err < 0 ? err : n;
}

/* User ring buffers. */

int golibbpf_user_ring_write(struct user_ring_buffer *rb, const char *samples,
			     const uint32_t *sizes, size_t count, size_t *written)
{
	for (*written = 0; *written < count; ++*written) {
		uint32_t size = sizes[*written];
		void *room = user_ring_buffer__reserve(rb, size);

		if (!room)
			return -errno;
		memcpy(room, samples, size);
		user_ring_buffer__submit(rb, room);
		samples += size;
	}
	return 0;
}
