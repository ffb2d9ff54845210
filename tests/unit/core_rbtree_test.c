/* SPDX-License-Identifier: MIT */
/* The red-black tree against a sorted array: random insertions, removals and replacements, and after each the
 * tree's own invariants (rbtree.h) and its order in both directions. */

#include "../../stack/core/rbtree.h"
#include <criterion/criterion.h>

#define KEYS 512

struct item {
    struct rb_node node;
    u32 key;
    bool in;
};

static struct item items[KEYS];
static struct rb_root root;
static u32 sorted[KEYS], count;
static u64 rng;

static u32 dice(u32 n)
{
    rng = rng * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(rng >> 33) % n;
}

static void start(u64 seed)
{
    memset(items, 0, sizeof(items));
    root = RB_ROOT;
    count = 0;
    rng = seed;
}

/* Where key is, or would be. */
static u32 place(u32 key)
{
    u32 lo = 0, hi = count;

    while (lo < hi) {
        u32 mid = (lo + hi) / 2;

        if (sorted[mid] < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void insert(u32 key)
{
    struct rb_node **p = &root.rb_node, *parent = NULL;
    u32 at = place(key);

    while (*p) {
        parent = *p;
        p = key < rb_entry(parent, struct item, node)->key ? &parent->rb_left : &parent->rb_right;
    }
    items[key].key = key;
    items[key].in = true;
    rb_link_node(&items[key].node, parent, p);
    rb_insert_color(&items[key].node, &root);
    memmove(&sorted[at + 1], &sorted[at], (count - at) * sizeof(u32));
    sorted[at] = key;
    count++;
}

static void erase(u32 key)
{
    u32 at = place(key);

    rb_erase(&items[key].node, &root);
    memset(&items[key].node, 0xa5, sizeof(items[key].node)); /* nothing may look at it any more */
    items[key].in = false;
    count--;
    memmove(&sorted[at], &sorted[at + 1], (count - at) * sizeof(u32));
}

/* Number of black nodes on each way down; parents, colours, order. */
static int check_below(const struct rb_node *n, const struct rb_node *parent)
{
    bool red;
    int left, right;

    if (!n)
        return 0;
    red = !(n->__rb_parent_color & 1);
    cr_assert_eq(rb_parent(n), parent);
    cr_assert(!red || (parent && (parent->__rb_parent_color & 1)), "a red node is the root, or its parent is red too");
    left = check_below(n->rb_left, n);
    right = check_below(n->rb_right, n);
    cr_assert_eq(left, right, "one way has %d black nodes and another %d", left, right);
    return left + !red;
}

static void check(void)
{
    struct rb_node *n;
    u32 i = 0;

    check_below(root.rb_node, NULL);
    cr_assert_eq(RB_EMPTY_ROOT(&root), count == 0);
    for (n = rb_first(&root); n; n = rb_next(n), i++)
        cr_assert(i < count && rb_entry(n, struct item, node)->key == sorted[i], "rb_next: wrong at %u of %u", i, count);
    cr_assert_eq(i, count);
    for (n = rb_last(&root); n; n = rb_prev(n))
        cr_assert(i && rb_entry(n, struct item, node)->key == sorted[--i], "rb_prev: wrong at %u of %u", i, count);
    cr_assert_eq(i, 0);
}

Test(rbtree, random_insertions_and_removals_keep_order_and_invariants)
{
    for (u64 seed = 1; seed <= 60; seed++) {
        u32 keys = 1 + (u32)(seed * 97 % KEYS); /* small trees meet the rare cases oftener */

        start(seed);
        for (int step = 0; step < 400; step++) {
            u32 key = dice(keys);

            if (items[key].in)
                erase(key);
            else
                insert(key);
            check();
        }
        while (count) {
            erase(sorted[dice(count)]);
            check();
        }
    }
}

Test(rbtree, ascending_and_descending_insertion_stays_balanced)
{
    for (int up = 0; up < 2; up++) {
        u32 deepest = 0;

        start(1);
        for (u32 i = 0; i < KEYS; i++)
            insert(up ? i : KEYS - 1 - i);
        check();
        for (u32 i = 0; i < KEYS; i++) {
            u32 depth = 0;

            for (const struct rb_node *n = &items[i].node; n; n = rb_parent(n))
                depth++;
            deepest = max(deepest, depth);
        }
        cr_assert_leq(deepest, 18, "%u nodes, and one lies %u deep: more than 2 log2(n + 1)", KEYS, deepest);
        for (u32 i = 0; i < KEYS; i++) { /* a queue: always the first goes */
            cr_assert_eq(rb_entry(rb_first(&root), struct item, node)->key, i);
            erase(i);
        }
        check();
    }
}

Test(rbtree, a_replaced_node_leaves_its_place_to_the_new_one)
{
    start(5);
    for (u32 i = 0; i < 100; i++)
        insert(i);
    for (u32 i = 0; i < 100; i++) {
        struct item *other = &items[200 + i];

        other->key = i;
        rb_replace_node(&items[i].node, &other->node, &root);
        memset(&items[i].node, 0xa5, sizeof(items[i].node));
        check();
    }
}

Test(rbtree, a_cleared_node_is_in_no_tree)
{
    struct rb_node n;

    RB_CLEAR_NODE(&n);
    cr_assert(RB_EMPTY_NODE(&n));
    start(1);
    cr_assert_null(rb_first(&root));
    cr_assert_null(rb_last(&root));
    insert(1);
    cr_assert_not(RB_EMPTY_NODE(&items[1].node));
    cr_assert_null(rb_entry_safe(rb_next(&items[1].node), struct item, node));
}
