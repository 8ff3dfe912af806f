# The first process of a cluster: it holds the network and mount namespaces in
# which all others run. When the last of them is gone, the kernel removes the
# interfaces, the iptables rules and the mounts; nothing of them is on the host.
#
# usage: unshare --net --mount --propagation private sh keeper.sh STATE
set -eu
state=$1

# Folders that Kubernetes and containerd write to wherever they are told to keep their state.
for folder in /run /var/lib /var/log; do
	mount -t tmpfs -o mode=0755 pgsweep "$folder"
done

# The kubelet sets these for the whole machine unless it finds them set.
pretend() {
	mkdir -p "$state/sysctl"
	echo "$2" >"$state/sysctl/${1##*/}"
	mount --bind "$state/sysctl/${1##*/}" "/proc/sys/$1"
}
pretend vm/overcommit_memory 1
pretend vm/panic_on_oom 0
pretend kernel/panic 10
pretend kernel/panic_on_oops 1
pretend kernel/keys/root_maxkeys 1000000
pretend kernel/keys/root_maxbytes 25000000

# What is mounted for a pod must be seen by all components.
mount --make-rshared /

ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
: >"$state/keeper-ready"
exec sleep infinity
