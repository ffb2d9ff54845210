/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_RBTREE_H
#define SLUICE_CORE_RBTREE_H
/* Red-black trees, under the names that Linux uses (Documentation/core-api/rbtree.rst). The tree knows no keys:
 * the user descends from root->rb_node itself, links the new node below the leaf that it found, and lets the tree
 * balance itself:
 *
 *     struct rb_node **p = &root->rb_node, *parent = NULL;
 *     while (*p) {
 *         parent = *p;
 *         p = less(new, parent) ? &parent->rb_left : &parent->rb_right;
 *     }
 *     rb_link_node(new, parent, p);
 *     rb_insert_color(new, root);
 *
 * Invariants: the root is black, a red node has no red child, and on each way down from a node lie as many black ones:
 * so no way is more than twice as long as another, and each operation is O(log n). Whoever changes the tree has it
 * alone (no lock in here, no RCU). */

#include "types.h"

struct rb_node {
    uintptr_t __rb_parent_color; /* the parent's address; bit 0: black. Its own address: in no tree */
    struct rb_node *rb_right;
    struct rb_node *rb_left;
};
struct rb_root {
    struct rb_node *rb_node;
};

#define RB_ROOT ((struct rb_root){NULL})
#define RB_EMPTY_ROOT(root) ((root)->rb_node == NULL)
/* A node outside of any tree says so when RB_CLEAR_NODE() was used; nothing else sets this. */
#define RB_EMPTY_NODE(node) ((node)->__rb_parent_color == (uintptr_t)(node))
#define RB_CLEAR_NODE(node) ((node)->__rb_parent_color = (uintptr_t)(node))
#define rb_parent(node) ((struct rb_node *)((node)->__rb_parent_color & ~(uintptr_t)1))
#define rb_entry(ptr, type, member) container_of(ptr, type, member)
#define rb_entry_safe(ptr, type, member)                                                           \
    ({                                                                                             \
        __typeof__(ptr) p_ = (ptr);                                                                \
        p_ ? rb_entry(p_, type, member) : NULL;                                                    \
    })

/* Hang node, red and without children, below parent at *link. rb_insert_color() has to follow. */
static inline void rb_link_node(struct rb_node *node, struct rb_node *parent, struct rb_node **link)
{
    node->__rb_parent_color = (uintptr_t)parent;
    node->rb_left = node->rb_right = NULL;
    *link = node;
}
/* Balance again after rb_link_node(). */
void rb_insert_color(struct rb_node *node, struct rb_root *root);
/* Take node out. What it holds is left as it was, its three words are not to be used any more. */
void rb_erase(struct rb_node *node, struct rb_root *root);
/* Put new in victim's place. */
void rb_replace_node(struct rb_node *victim, struct rb_node *new, struct rb_root *root);

/* In order; NULL: none. */
struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);

#endif
