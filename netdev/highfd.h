/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_NETDEV_HIGHFD_H
#define SLUICE_NETDEV_HIGHFD_H
/* Descriptors of our own live at high numbers, so that the program's numbering is undisturbed: POSIX
 * promises it the lowest free one, and programs rely on that (open(2), dup-by-close in shells). */

/* Role: move fd (0 or more) to a number from 512 up, close-on-exec. Takes fd over. Returns the new number;
 * fd itself, made close-on-exec, when the limit leaves no room above; negative fd comes back unchanged. */
int highfd_move(int fd);
/* The same for a descriptor whose owner (a library object) keeps and closes its own: a high duplicate or
 * -errno. */
int highfd_dup(int fd);

#endif
