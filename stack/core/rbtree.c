// SPDX-License-Identifier: MIT
/* Red-black trees: balancing by recolouring and rotation, and walking in order. The cases are those of the textbook
 * (Cormen, Leiserson, Rivest, Stein: Introduction to Algorithms, chapter 13), left and right written once: `dir` is
 * the side that a case is about. */

#include "rbtree.h"

enum side { LEFT, RIGHT };

static inline struct rb_node **child(struct rb_node *n, enum side s) { return s == LEFT ? &n->rb_left : &n->rb_right; }
static inline bool is_red(const struct rb_node *n) { return n && !(n->__rb_parent_color & 1); }
static inline void set_red(struct rb_node *n) { n->__rb_parent_color &= ~(uintptr_t)1; }
static inline void set_black(struct rb_node *n) { n->__rb_parent_color |= 1; }
static inline void set_parent(struct rb_node *n, struct rb_node *parent)
{
    n->__rb_parent_color = (uintptr_t)parent | (n->__rb_parent_color & 1);
}
static inline void copy_color(struct rb_node *to, const struct rb_node *from)
{
    to->__rb_parent_color = (to->__rb_parent_color & ~(uintptr_t)1) | (from->__rb_parent_color & 1);
}

/* Let whatever pointed to old (parent's child, or the root when parent is NULL) point to new. */
static inline void change_child(struct rb_node *old, struct rb_node *new, struct rb_node *parent, struct rb_root *root)
{
    if (!parent)
        root->rb_node = new;
    else if (parent->rb_left == old)
        parent->rb_left = new;
    else
        parent->rb_right = new;
}

/* n goes down to side dir, its child on the other side takes its place. Colours stay with the nodes. */
static void rotate(struct rb_node *n, enum side dir, struct rb_root *root)
{
    struct rb_node *up = *child(n, !dir), *inner = *child(up, dir), *parent = rb_parent(n);

    *child(n, !dir) = inner;
    if (inner)
        set_parent(inner, n);
    *child(up, dir) = n;
    set_parent(up, parent);
    set_parent(n, up);
    change_child(n, up, parent, root);
}

/* A red node under a red parent is all that can be wrong; it moves up until it is right. */
void rb_insert_color(struct rb_node *node, struct rb_root *root)
{
    struct rb_node *parent, *gparent, *uncle;
    enum side dir;

    while (is_red(parent = rb_parent(node))) {
        gparent = rb_parent(parent); /* there is one: a red node is not the root */
        dir = parent == gparent->rb_left ? LEFT : RIGHT;
        uncle = *child(gparent, !dir);
        if (is_red(uncle)) {
            set_black(parent);
            set_black(uncle);
            set_red(gparent);
            node = gparent;
            continue;
        }
        if (node == *child(parent, !dir)) { /* bring it to the outside */
            rotate(parent, dir, root);
            parent = node;
        }
        set_black(parent);
        set_red(gparent);
        rotate(gparent, !dir, root);
        break;
    }
    set_black(root->rb_node);
}

/* All ways through node (which may be NULL, a leaf below parent) lack one black node: give it back. */
static void erase_color(struct rb_node *node, struct rb_node *parent, struct rb_root *root)
{
    while (parent && !is_red(node)) {
        enum side dir = node == parent->rb_left ? LEFT : RIGHT;
        struct rb_node *sibling = *child(parent, !dir); /* there is one: its ways have a black node more */

        if (is_red(sibling)) {
            set_black(sibling);
            set_red(parent);
            rotate(parent, dir, root);
            sibling = *child(parent, !dir);
        }
        if (!is_red(sibling->rb_left) && !is_red(sibling->rb_right)) {
            set_red(sibling);
            node = parent;
            parent = rb_parent(node);
            continue;
        }
        if (!is_red(*child(sibling, !dir))) {
            set_black(*child(sibling, dir));
            set_red(sibling);
            rotate(sibling, !dir, root);
            sibling = *child(parent, !dir);
        }
        copy_color(sibling, parent);
        set_black(parent);
        set_black(*child(sibling, !dir));
        rotate(parent, dir, root);
        return;
    }
    if (node)
        set_black(node);
}

/* The successor's node takes the place of one with two children, colour included: what is missing then is the
 * successor's own place, which has one child at most. */
void rb_erase(struct rb_node *node, struct rb_root *root)
{
    struct rb_node *below, *parent; /* what moves up into the place that is missing, and its parent */
    bool lost_black;

    if (node->rb_left && node->rb_right) {
        struct rb_node *succ = node->rb_right;

        while (succ->rb_left)
            succ = succ->rb_left;
        below = succ->rb_right;
        lost_black = !is_red(succ);
        parent = rb_parent(succ);
        if (parent == node) {
            parent = succ;
        } else {
            parent->rb_left = below;
            if (below)
                set_parent(below, parent);
            succ->rb_right = node->rb_right;
            set_parent(succ->rb_right, succ);
        }
        succ->rb_left = node->rb_left;
        set_parent(succ->rb_left, succ);
        succ->__rb_parent_color = node->__rb_parent_color;
        change_child(node, succ, rb_parent(node), root);
    } else {
        below = node->rb_left ? node->rb_left : node->rb_right;
        parent = rb_parent(node);
        lost_black = !is_red(node);
        if (below)
            set_parent(below, parent);
        change_child(node, below, parent, root);
    }
    if (lost_black)
        erase_color(below, parent, root);
}

void rb_replace_node(struct rb_node *victim, struct rb_node *new, struct rb_root *root)
{
    *new = *victim;
    if (new->rb_left)
        set_parent(new->rb_left, new);
    if (new->rb_right)
        set_parent(new->rb_right, new);
    change_child(victim, new, rb_parent(victim), root);
}

/* ---- in order --------------------------------------------------------------------------------------------------- */

struct rb_node *rb_first(const struct rb_root *root)
{
    struct rb_node *n = root->rb_node;

    while (n && n->rb_left)
        n = n->rb_left;
    return n;
}

struct rb_node *rb_last(const struct rb_root *root)
{
    struct rb_node *n = root->rb_node;

    while (n && n->rb_right)
        n = n->rb_right;
    return n;
}

struct rb_node *rb_next(const struct rb_node *node)
{
    const struct rb_node *parent;

    if (node->rb_right) {
        node = node->rb_right;
        while (node->rb_left)
            node = node->rb_left;
        return (struct rb_node *)node;
    }
    while ((parent = rb_parent(node)) && node == parent->rb_right)
        node = parent;
    return (struct rb_node *)parent;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
    const struct rb_node *parent;

    if (node->rb_left) {
        node = node->rb_left;
        while (node->rb_right)
            node = node->rb_right;
        return (struct rb_node *)node;
    }
    while ((parent = rb_parent(node)) && node == parent->rb_left)
        node = parent;
    return (struct rb_node *)parent;
}
