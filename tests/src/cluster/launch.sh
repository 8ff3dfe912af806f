# Starts a program of the node in the cluster's cgroup, apart from the terminal
# and from whoever starts it, and prints its process id.
#
# usage: launch.sh LOG CGROUP_PROCS PROGRAM [ARGUMENT...]
set -eu
log=$1
tasks=$2
shift 2
# Not every root has the folders of runc and iptables on its PATH.
export PATH="$PATH:/usr/sbin:/sbin"
# The program joins the cgroup before it runs: no child of it can ever escape.
setsid sh -c 'echo $$ >"$0" && exec "$@"' "$tasks" "$@" </dev/null >>"$log" 2>&1 &
echo $!
