/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_RCU_H
#define SLUICE_CORE_RCU_H
/* liburcu's bp flavour (rcu_flavor, urcu_bp_flavor): the threads are the program's, so none registers. Use rcu_read_lock(),
 * rcu_read_unlock(), rcu_dereference(), rcu_assign_pointer() and, for freeing, net_call_rcu(). */

#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE
#endif
#include <urcu-bp.h>
#include <urcu/list.h>
#include <urcu/rculist.h>
#include <urcu/rculfhash.h>


#endif
