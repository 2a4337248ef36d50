#ifndef GOLIBBPF_HELPERS_CGO_H
#define GOLIBBPF_HELPERS_CGO_H

/*
 * Checked calls of the C library, which need optimization and would hide faults from the address
 * sanitizer. The C library's headers must come after it.
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
 * libbpf 1.1 is the oldest that this package compiles with. A function that a newer one brought
 * has a stand-in here for the older ones. It is never reached: its Go method asks needLibbpf()
 * first and gives the error.
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

/* Since libbpf 1.4 a map has its descriptor from the opening of its object on. */
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
 * An iterator has a map to go over, or cgroups, or tasks, or nothing: what isn't asked for is 0,
 * and at most one of the three is.
 */
struct bpf_link *golibbpf_attach_iter(const struct bpf_program *prog, uint32_t map_fd,
				      uint32_t cgroup_order, uint32_t cgroup_fd, uint64_t cgroup_id,
				      uint32_t tid, uint32_t pid, uint32_t pid_fd);

/* How a program goes together with others of its hook. */
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

/* How the kernel is asked for a probe is an option since libbpf 1.2. */
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

/* What there is none of is NULL. A session needs libbpf 1.5. */
struct bpf_link *golibbpf_attach_kprobe_multi(const struct bpf_program *prog, const char *pattern,
					      char **symbols, const unsigned long *addresses,
					      const uint64_t *cookies, size_t count, bool retprobe,
					      bool session);

/* Cookies and semaphores that there are none of are NULL. Needs libbpf 1.3, a session 1.6. */
struct bpf_link *golibbpf_attach_uprobe_multi(const struct bpf_program *prog, pid_t pid,
					      const char *path, const unsigned long *offsets,
					      const unsigned long *ref_ctr_offsets,
					      const uint64_t *cookies, size_t count, bool retprobe,
					      bool session);

/* bpf_map__initial_value() with the size that there is, also after the load of struct_ops. */
const void *golibbpf_map_initial_value(const struct bpf_map *map, const struct bpf_object *object,
				       size_t *size);

/*
 * libbpf's functions that take the memory of a caller. For a void *, cgo looks at the whole
 * allocation that it points into, and panics if a Go pointer is anywhere in it. A char * is for
 * bytes, whatever is beside them.
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
 * Makes libbpf find out whether the kernel has links of perf events, by attaching a loaded program
 * to what is none, which fails. Returns false if there was no descriptor for that.
 */
bool golibbpf_ask_perf_link(const struct bpf_program *prog);

/*
 * bpf_prog_test_run_opts() that signals don't end, as those do by which Go's runtime preempts. The
 * buffers of opts are NULL.
 */
int golibbpf_prog_run(int prog_fd, struct bpf_test_run_opts *opts, const char *data_in,
		      char *data_out, const char *ctx_in, char *ctx_out);

/* Makes libbpf print through golibbpf_log(), which is Go's. */
void golibbpf_log_install(void);

/* Messages above this level are dropped before they reach Go; -1 drops all. */
void golibbpf_log_set_level(int level);

/* Makes libbpf not raise the limit of locked memory. */
void golibbpf_leave_memlock(void);

/* What a thread had before a watch. */
struct golibbpf_watch {
	uintptr_t watcher;
	sigset_t signals;
};

/*
 * Until the end of the watch, warnings that libbpf prints on the calling thread reach
 * golibbpf_log() with this handle and whatever the level, and signals don't reach the thread.
 */
void golibbpf_watch_begin(struct golibbpf_watch *before, uintptr_t watcher);
void golibbpf_watch_end(const struct golibbpf_watch *before);

/*
 * Opens the object in the size bytes at buf. A token needs libbpf 1.4.
 */
struct bpf_object *golibbpf_object_open(const void *buf, size_t size, const char *name,
					const char *btf_path, const char *kconfig,
					const char *token_path, unsigned int kernel_log_level);

/* A ring buffer map or a perf event array. */
struct golibbpf_source {
	struct ring_buffer *rb; /* of these, one is NULL */
	struct perf_buffer *pb;
	/* The perf buffer's next one to look at. */
	size_t next_buffer;
	/* Whole perf events are taken, instead of what samples hold. */
	bool raw;

	/* What ended the last call after it had records to return: the next one returns it. */
	int err;
	/* A record that was consumed and found no room: the next call begins with it. */
	bool spilled;
	int spill_cpu;
	char *spill;
	size_t spill_len;
	size_t spill_cap;
	/* No record of the ring is larger. */
	size_t ring_size;
	/* Two pages, each with a position of the ring, if libbpf doesn't tell them. */
	const char *positions;
};

/* What golibbpf_reader_consume() has to say beside the records is in found to need. */
struct golibbpf_reader {
	/* The caller's batch, during a call. */
	char *data;
	char *next; /* record */
	char *limit;
	uint32_t *ends;
	uint32_t *next_end;
	uint32_t *last_end;
	struct golibbpf_source *source;
	/* How far behind the record at hand to fetch from memory. */
	size_t ahead;

	/* The source that the batch is from; of a perf buffer, the CPU's buffer, and the CPU. */
	int found;
	int cpu;
	/* Events that the kernel lost after the batch's last record, at that CPU. */
	uint64_t lost;
	/* Bytes that are left in the ring. */
	size_t remaining;
	/* The call ended because the batch was full. */
	bool full;
	/* There may be more, in this source or another one. */
	bool more;
	/* After ENOBUFS: the size that the next call needs, as a record spilled. */
	size_t need;

	size_t next_source;
	size_t source_count;
	struct golibbpf_source sources[];
};

/* Returns NULL and sets errno if there is no memory. */
struct golibbpf_reader *golibbpf_reader_new(size_t sources);
void golibbpf_reader_free(struct golibbpf_reader *reader);

/* Each fills the next of the places that golibbpf_reader_new() made. They return a negative errno.
 */
int golibbpf_reader_add_ring(struct golibbpf_reader *reader, int map_fd);
int golibbpf_reader_add_perf(struct golibbpf_reader *reader, int map_fd, size_t pages,
			     const void *attr, int *cpus, int *keys, int cpu_count, bool raw);

int golibbpf_source_epoll_fd(const struct golibbpf_source *source);

/* How many bytes the kernel has for the source of that index, of a perf buffer the CPU's. */
size_t golibbpf_reader_available(const struct golibbpf_reader *reader, size_t index);

/*
 * Copies records of one source, another one each time or, unless it is negative, the one of the
 * index only (of a perf buffer, the CPU's buffer), into the size bytes at data from start on, each
 * at the next multiple of GOLIBBPF_RECORD_ALIGN, which size and start are, too. Writes start and
 * then where each ends into ends, until there are no more, or data has no room for another record
 * like the last, or max records are there. Returns their number or a negative errno: ENOBUFS if a
 * record needs more room.
 */
int golibbpf_reader_consume(struct golibbpf_reader *reader, char *data, size_t size, size_t start,
			    uint32_t *ends, size_t max, int only);

#define GOLIBBPF_RECORD_ALIGN 8
/* What each record has before it in the ring, and in perf buffers with its length. */
#define GOLIBBPF_RECORD_HEADER 8

/*
 * Reserves, writes and submits samples of these sizes, which stand one behind the other. Returns
 * the negative errno of the first for which that failed.
 */
int golibbpf_user_ring_write(struct user_ring_buffer *rb, const char *samples,
			     const uint32_t *sizes, size_t count, size_t *written);

#endif
