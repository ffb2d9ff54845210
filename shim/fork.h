/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_FORK_H
#define SLUICE_SHIM_FORK_H
/* Connections and processes. The process that opened a connection owns it; a child that inherits the
 * descriptor has a FILE_FOREIGN and asks for a hand-over when it first touches it. */

#include "file.h"

/* Role: install the fork handlers, once. runtime_start() calls it before the first connection. */
void fork_init(void);
/* Role: first use of an inherited connection: have its owner move it into the twin. Blocks for the owner
 * (bounded). Inside SHIM_ENTER, no lock held. 0: f is FILE_HANDED, make the call again on the kernel;
 * -ECONNRESET: the owner is gone and the connection with it. */
int foreign_touch(struct file *f);
/* Role: before the last descriptor of f in this process is closed, while it is still open. An owner hands
 * over what other processes still hold; a child says that it has let go. Any file; cheap when not shared. */
void fork_file_closing(struct file *f);
/* Role: f has become the kernel's (handover.c): tell the processes that wait for it. */
void fork_file_handed(struct file *f, bool ok);
/* Role: this process image ends (exit) or is replaced (exec): inherited connections are let go. With
 * `back`, the exec failed and they are held again. cloexec_only: those with close-on-exec. */
void fork_let_go_all(bool cloexec_only, bool back);
/* Does any descriptor of f survive an exec? */
bool fork_file_survives_exec(struct file *f);

#endif
