#ifndef GOLIBBPF_HELPERS_CGO_H
#define GOLIBBPF_HELPERS_CGO_H

/*
 * The C library's checked functions (fortify). They need optimization, and would hide faults from
 * the address sanitizer. The macro must be defined before the C library's headers are included.
 */
#if defined __OPTIMIZE__ && !defined _FORTIFY_SOURCE && !defined __SANITIZE_ADDRESS__
#define _FORTIFY_SOURCE 2
#endif

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#ifndef __linux__
#error "libbpfgo needs Linux"
#elif defined __has_include
#if !__has_include(<bpf/libbpf.h>)
#error "bpf/libbpf.h is missing: install libbpf-dev, or run make or make install in a checkout"
#endif
#endif

#include <bpf/libbpf.h>

/*
 * libbpf 1.1 is the oldest version that this package compiles with. A function that a newer version
 * introduced has a stand-in here for older ones. The stand-in is never called: the Go method calls
 * needLibbpf() first and returns its error.
 */
#define GOLIBBPF_BEFORE(major, minor)                                                              \
	(LIBBPF_MAJOR_VERSION < (major) ||                                                         \
	 (LIBBPF_MAJOR_VERSION == (major) && LIBBPF_MINOR_VERSION < (minor)))

#if GOLIBBPF_BEFORE(1, 1)
#error "libbpf 1.1 or newer is needed: run make or make install in a checkout"
#endif

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf_legacy.h>
#include <linux/if_link.h>
#include <linux/perf_event.h>

/* Since libbpf 1.4, a map has a descriptor as soon as its object is opened. */
#define GOLIBBPF_MAPS_HAVE_DESCRIPTORS !GOLIBBPF_BEFORE(1, 4)

#if GOLIBBPF_BEFORE(1, 2)
static inline int bpf_link__update_map(struct bpf_link *link, const struct bpf_map *map)
{
	return -ENOTSUP;
}
#endif

#if GOLIBBPF_BEFORE(1, 3)
struct ring;

static inline struct ring *ring_buffer__ring(struct ring_buffer *rb, unsigned int idx)
{
	return NULL;
}

static inline unsigned long ring__consumer_pos(const struct ring *r)
{
	return 0;
}

static inline unsigned long ring__producer_pos(const struct ring *r)
{
	return 0;
}

static inline size_t ring__avail_data_size(const struct ring *r)
{
	return 0;
}

static inline size_t ring__size(const struct ring *r)
{
	return 0;
}
#endif

#if GOLIBBPF_BEFORE(1, 5)
static inline struct bpf_link *bpf_program__attach_sockmap(const struct bpf_program *prog,
							   int map_fd)
{
	return NULL;
}
#endif

#if GOLIBBPF_BEFORE(1, 6)
static inline int bpf_object__prepare(struct bpf_object *obj)
{
	return -ENOTSUP;
}
#endif

/*
 * An iterator iterates over the elements of a map, over cgroups, over tasks, or takes no argument.
 * At most one of the three groups of arguments is set; the others are 0.
 */
struct bpf_link *golibbpf_attach_iter(const struct bpf_program *prog, uint32_t map_fd,
				      uint32_t cgroup_order, uint32_t cgroup_fd, uint64_t cgroup_id,
				      uint32_t tid, uint32_t pid, uint32_t pid_fd);

/* The position of a program among the others of its hook. */
struct golibbpf_order {
	uint32_t flags;
	uint32_t relative_fd;
	uint32_t relative_id;
	uint64_t expected_revision;
};

/* The first two need libbpf 1.3, the last one 1.6. */
struct bpf_link *golibbpf_attach_tcx(const struct bpf_program *prog, int ifindex,
				     struct golibbpf_order order);
struct bpf_link *golibbpf_attach_netkit(const struct bpf_program *prog, int ifindex,
					struct golibbpf_order order);
struct bpf_link *golibbpf_attach_cgroup(const struct bpf_program *prog, int cgroup_fd,
					struct golibbpf_order order);

/* Needs libbpf 1.3. */
struct bpf_link *golibbpf_attach_netfilter(const struct bpf_program *prog, uint32_t family,
					   uint32_t hook, int32_t priority, uint32_t flags);

/* Needs libbpf 1.4. */
struct bpf_link *golibbpf_attach_raw_tracepoint(const struct bpf_program *prog, const char *name,
						uint64_t cookie);

/* The attach mode of a probe is an option since libbpf 1.2. */
static inline void golibbpf_kprobe_mode(struct bpf_kprobe_opts *opts, unsigned int mode)
{
#if !GOLIBBPF_BEFORE(1, 2)
	opts->attach_mode = mode;
#endif
}

static inline void golibbpf_uprobe_mode(struct bpf_uprobe_opts *opts, unsigned int mode)
{
#if !GOLIBBPF_BEFORE(1, 2)
	opts->attach_mode = mode;
#endif
}

/* Unused arrays are NULL. A session needs libbpf 1.5. */
struct bpf_link *golibbpf_attach_kprobe_multi(const struct bpf_program *prog, const char *pattern,
					      char **symbols, const unsigned long *addresses,
					      const uint64_t *cookies, size_t count, bool retprobe,
					      bool session);

/* Unused arrays are NULL. Needs libbpf 1.3, a session 1.6. */
struct bpf_link *golibbpf_attach_uprobe_multi(const struct bpf_program *prog, pid_t pid,
					      const char *path, const unsigned long *offsets,
					      const unsigned long *ref_ctr_offsets,
					      const uint64_t *cookies, size_t count, bool retprobe,
					      bool session);

/*
 * bpf_map__initial_value() with the size of the memory. For struct_ops, libbpf's own size is
 * another one after the load.
 */
const void *golibbpf_map_initial_value(const struct bpf_map *map, const struct bpf_object *object,
				       size_t *size);

/*
 * libbpf's functions that take the user's memory. For a void *, cgo checks the whole allocation
 * that it points into, and panics if there is a Go pointer anywhere in it. For a char *, it
 * doesn't.
 */
static inline int golibbpf_map_lookup(int fd, const char *key, char *value, __u64 flags)
{
	return bpf_map_lookup_elem_flags(fd, key, value, flags);
}

static inline int golibbpf_map_lookup_and_delete(int fd, const char *key, char *value, __u64 flags)
{
	return bpf_map_lookup_and_delete_elem_flags(fd, key, value, flags);
}

static inline int golibbpf_map_update(int fd, const char *key, const char *value, __u64 flags)
{
	return bpf_map_update_elem(fd, key, value, flags);
}

static inline int golibbpf_map_delete(int fd, const char *key)
{
	return bpf_map_delete_elem(fd, key);
}

static inline int golibbpf_map_next_key(int fd, const char *key, char *next)
{
	return bpf_map_get_next_key(fd, key, next);
}

static inline int golibbpf_map_lookup_batch(int fd, char *in, char *out, char *keys, char *values,
					    __u32 *count)
{
	return bpf_map_lookup_batch(fd, in, out, keys, values, count, NULL);
}

static inline int golibbpf_map_lookup_and_delete_batch(int fd, char *in, char *out, char *keys,
						       char *values, __u32 *count)
{
	return bpf_map_lookup_and_delete_batch(fd, in, out, keys, values, count, NULL);
}

static inline int golibbpf_map_update_batch(int fd, const char *keys, const char *values,
					    __u32 *count)
{
	return bpf_map_update_batch(fd, keys, values, count, NULL);
}

static inline int golibbpf_map_delete_batch(int fd, const char *keys, __u32 *count)
{
	return bpf_map_delete_batch(fd, keys, count, NULL);
}

static inline int golibbpf_map_set_initial_value(struct bpf_map *map, const char *value,
						 size_t size)
{
	return bpf_map__set_initial_value(map, value, size);
}

/*
 * Makes libbpf probe whether the kernel has links of perf events, by attaching a loaded program to
 * a descriptor that is no perf event, which fails. Returns false if there is no descriptor for
 * that.
 */
bool golibbpf_probe_perf_link(const struct bpf_program *prog);

/*
 * bpf_prog_test_run_opts() with signals blocked: otherwise those by which Go's runtime preempts
 * goroutines would end the run. The buffers in opts are NULL; the arguments replace them.
 */
int golibbpf_prog_run(int prog_fd, struct bpf_test_run_opts *opts, const char *data_in,
		      char *data_out, const char *ctx_in, char *ctx_out);

/* Makes libbpf print through golibbpf_log(), which is exported by Go. */
void golibbpf_log_install(void);

/* Drops messages above this level before they reach Go; -1 drops all. */
void golibbpf_log_set_level(int level);

/* Keeps libbpf from raising the limit of locked memory. */
void golibbpf_leave_memlock_limit(void);

/* The state of a thread before a watch. */
struct golibbpf_watch {
	uintptr_t watcher;
	sigset_t signals;
};

/*
 * Until the watch ends, all warnings that libbpf prints on the calling thread are passed to
 * golibbpf_log() with this handle, whatever the log level is, and the thread's signals are blocked,
 * except those of faults.
 */
void golibbpf_watch_begin(struct golibbpf_watch *before, uintptr_t watcher);
void golibbpf_watch_end(const struct golibbpf_watch *before);

/* Opens the object in the size bytes at buf. A token needs libbpf 1.4. */
struct bpf_object *golibbpf_object_open(const void *buf, size_t size, const char *name,
					const char *btf_path, const char *kconfig,
					const char *token_path, unsigned int kernel_log_level);

/* A ring buffer map or a perf event array. */
struct golibbpf_source {
	struct ring_buffer *rb; /* either rb or pb is NULL */
	struct perf_buffer *pb;
	/* The CPU's buffer of pb that is read next. */
	size_t next_buffer;
	/* Take whole perf events, not only the data of samples. */
	bool raw;

	/* An error that came after the last call's records: the next call returns it. */
	int err;
	/* A consumed record that didn't fit into the batch: the next call starts with it. */
	bool spilled;
	int spill_cpu;
	char *spill;
	size_t spill_len;
	size_t spill_cap;
	/* The ring's size, which no record exceeds. */
	size_t ring_size;
	/* Two pages, each with a position of the ring, for libbpf versions without ring__*(). */
	const char *positions;
};

/* The fields found to need are results of golibbpf_reader_consume(), besides the records. */
struct golibbpf_reader {
	/* The caller's batch, during a call. */
	char *data;
	char *next; /* record */
	char *limit;
	uint32_t *ends;
	uint32_t *next_end;
	uint32_t *last_end;
	struct golibbpf_source *source;
	/* Prefetch the memory this many bytes after the current record. */
	size_t ahead;

	/* The batch's source or, for a perf buffer, the CPU's buffer; and the CPU. */
	int found;
	int cpu;
	/* The number of events that the kernel lost on that CPU after the batch's last record. */
	uint64_t lost;
	/* The number of bytes left in the ring. */
	size_t remaining;
	/* The call ended because the batch was full. */
	bool full;
	/* There may be more records, in this source or another one. */
	bool more;
	/* After ENOBUFS: the size that the next call needs for the spilled record. */
	size_t need;

	size_t next_source;
	size_t source_count;
	struct golibbpf_source sources[];
};

/* Returns NULL and sets errno if there is no memory. */
struct golibbpf_reader *golibbpf_reader_new(size_t sources);
void golibbpf_reader_free(struct golibbpf_reader *reader);

/* Each adds a source, up to the number for golibbpf_reader_new(). Return 0 or a negative errno. */
int golibbpf_reader_add_ring(struct golibbpf_reader *reader, int map_fd);
int golibbpf_reader_add_perf(struct golibbpf_reader *reader, int map_fd, size_t pages,
			     const void *attr, int *cpus, int *keys, int cpu_count, bool raw);

int golibbpf_source_epoll_fd(const struct golibbpf_source *source);

/* Returns the unread bytes of the ring, or of the CPU's buffer, with that index. */
size_t golibbpf_reader_available(const struct golibbpf_reader *reader, size_t index);

/*
 * Copies a batch of records of one source to data, which has size bytes, from offset start on. Each
 * record starts at a multiple of GOLIBBPF_RECORD_ALIGN; size and start are multiples, too. Writes
 * start, then the end of each record, to ends. If only is negative, each call takes another source;
 * otherwise it takes the ring, or the CPU's buffer, with that index. The batch ends when there are
 * no more records, when a record of the last one's size wouldn't fit, or after max records. Returns
 * the number of records or a negative errno: ENOBUFS if the first record doesn't fit (see need).
 */
int golibbpf_reader_consume(struct golibbpf_reader *reader, char *data, size_t size, size_t start,
			    uint32_t *ends, size_t max, int only);

#define GOLIBBPF_RECORD_ALIGN 8
/*
 * The size of the header before each record in a ring. The header and the length of a perf event
 * have 12 bytes, but count as the same: the data's size is a multiple of 8 less 4, and is rounded
 * up.
 */
#define GOLIBBPF_RECORD_HEADER 8

/*
 * Reserves, writes and submits samples of these sizes, which follow each other in memory. Sets
 * written to the number of samples that were submitted. Returns 0, or the negative errno of the
 * first sample that failed.
 */
int golibbpf_user_ring_write(struct user_ring_buffer *rb, const char *samples,
			     const uint32_t *sizes, size_t count, size_t *written);

#endif
