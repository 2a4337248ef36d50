//go:build ignore

#include "../include/iter.h"

struct bpf_map {
	__u32 id;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
} __attribute__((preserve_access_index));

SEC("iter/bpf_map")
int maps(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;

	if (map)
		print(ctx->meta, map->id);
	return 0;
}

struct bpf_prog_aux {
	__u32 id;
} __attribute__((preserve_access_index));

struct bpf_prog {
	struct bpf_prog_aux *aux;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_prog {
	struct bpf_iter_meta *meta;
	struct bpf_prog *prog;
} __attribute__((preserve_access_index));

SEC("iter/bpf_prog")
int programs(struct bpf_iter__bpf_prog *ctx)
{
	struct bpf_prog *prog = ctx->prog;

	if (prog)
		print(ctx->meta, prog->aux->id);
	return 0;
}

struct bpf_link {
	__u32 id;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_link {
	struct bpf_iter_meta *meta;
	struct bpf_link *link;
} __attribute__((preserve_access_index));

SEC("iter/bpf_link")
int links(struct bpf_iter__bpf_link *ctx)
{
	struct bpf_link *link = ctx->link;

	if (link)
		print(ctx->meta, link->id);
	return 0;
}

struct kallsym_iter {
	char name[512];
} __attribute__((preserve_access_index));

struct bpf_iter__ksym {
	struct bpf_iter_meta *meta;
	struct kallsym_iter *ksym;
} __attribute__((preserve_access_index));

SEC("iter/ksym")
int symbols(struct bpf_iter__ksym *ctx)
{
	static const char wanted[] = "security_task_getpgid";
	struct kallsym_iter *symbol = ctx->ksym;
	char name[sizeof(wanted)];

	if (symbol &&
	    bpf_probe_read_kernel_str(name, sizeof(name), symbol->name) == sizeof(wanted) &&
	    !bpf_strncmp(name, sizeof(name), wanted))
		print(ctx->meta, 1);
	return 0;
}
