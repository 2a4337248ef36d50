//go:build ignore

#include "../include/iter.h"

struct kmem_cache {
	unsigned int object_size;
} __attribute__((preserve_access_index));

struct bpf_iter__kmem_cache {
	struct bpf_iter_meta *meta;
	struct kmem_cache *s;
} __attribute__((preserve_access_index));

SEC("iter/kmem_cache")
int prog(struct bpf_iter__kmem_cache *ctx)
{
	struct kmem_cache *cache = ctx->s;

	if (cache)
		print(ctx->meta, cache->object_size);
	return 0;
}
