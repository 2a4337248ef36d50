/*
 * Two functions that elfutils 0.192 (Debian 13) uses in libelf.a and forgot to put there. Its tree
 * begins with the root that tsearch(3) works on.
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
