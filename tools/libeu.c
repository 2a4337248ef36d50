/*
 * Two functions that libelf.a of elfutils 0.192 (Debian 13) calls but doesn't contain. The first
 * field of elfutils' struct is the root of a tree of tsearch(3); only this field is used here.
 */
#define _GNU_SOURCE
#include <search.h>
#include <stddef.h>

struct search_tree {
	void *root;
};

void eu_search_tree_init(struct search_tree *tree)
{
	tree->root = NULL;
}

void eu_search_tree_fini(struct search_tree *tree, void (*free_node)(void *))
{
	tdestroy(tree->root, free_node);
}
