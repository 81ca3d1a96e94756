#!/usr/bin/env bash
# Process 1 of a native node's namespaces: starts every component of the cluster and starts it again
# should it end. Killing this process ends everything, mounts and iptables rules included.
# Argument: the folder of this cluster, which holds node.env, the rendered configuration and the keys.
set -uo pipefail
state=$1
# shellcheck source=/dev/null
source "$state/node.env" # NODE_NAME NODE_IP HOST_IP POD_CIDR SERVICE_CIDR DNS_IP DOMAIN, program paths
conf=$state/conf pki=$state/pki log=$state/log

# Mounts propagate to the containers that ask for it, not to the host.
mount --make-rprivate / && mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir -p /run/lock /run/etcd /var/lib/kubelet /var/log
mount --bind "$state/kubelet" /var/lib/kubelet
mount --bind "$state/pod-logs" /var/log
mount --bind "$state/tmp" /tmp
printf 'nameserver %s\n' "$DNS_IP" > "$state/resolv.conf"
mount --bind "$state/resolv.conf" /etc/resolv.conf

ip link set lo up
ip addr add "$DNS_IP/32" dev lo
until ip link show eth0 &> /dev/null; do sleep 0.05; done # the host side moves it in
ip addr add "$NODE_IP/24" dev eth0
ip link set eth0 up
ip route add default via "$HOST_IP"
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0

keep() { # NAME COMMAND...: run it, log it, start it again when it ends
    local name=$1
    shift
    (
        while true; do
            "$@" >> "$log/$name.log" 2>&1
            echo "$name ended with $?, starting it again" >> "$log/init.log"
            sleep 1
        done
    ) &
}

api_answers() { # /readyz is open to everyone
    "$KUBECTL" --kubeconfig "$conf/admin.kubeconfig" get --raw /readyz &> /dev/null
}

# The data lives in memory: nothing of a test cluster has to survive it.
keep etcd etcd --data-dir /run/etcd --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 \
    --auto-compaction-retention 1h --quota-backend-bytes 2147483648 --logger zap --log-level warn
keep containerd containerd --config "$conf/containerd.toml"
keep kube-apiserver "$KUBE_APISERVER" \
    --etcd-servers http://127.0.0.1:2379 \
    --advertise-address "$NODE_IP" --secure-port 6443 \
    --service-cluster-ip-range "$SERVICE_CIDR" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
    --client-ca-file "$pki/ca.crt" \
    --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --kubelet-client-certificate "$pki/kubelet-client.crt" \
    --kubelet-client-key "$pki/kubelet-client.key" \
    --kubelet-preferred-address-types InternalIP \
    --service-account-issuer "https://kubernetes.default.svc.$DOMAIN" \
    --service-account-key-file "$pki/service-account.key" \
    --service-account-signing-key-file "$pki/service-account.key" \
    --requestheader-client-ca-file "$pki/front-proxy-ca.crt" \
    --requestheader-allowed-names front-proxy-client \
    --requestheader-extra-headers-prefix X-Remote-Extra- \
    --requestheader-group-headers X-Remote-Group --requestheader-username-headers X-Remote-User \
    --proxy-client-cert-file "$pki/front-proxy-client.crt" \
    --proxy-client-key-file "$pki/front-proxy-client.key" --enable-aggregator-routing

# The others exit when RBAC is not there yet. HPAs are looked at more often than every 15 s, so that
# a test of one that corrects a number again and again ends sooner.
until api_answers; do sleep 0.1; done
keep kube-controller-manager "$KUBE_CONTROLLER_MANAGER" \
    --kubeconfig "$conf/controller-manager.kubeconfig" --leader-elect=false \
    --bind-address 127.0.0.1 --use-service-account-credentials \
    --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/service-account.key" \
    --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
    --enable-hostpath-provisioner --horizontal-pod-autoscaler-sync-period 3s
keep kube-scheduler "$KUBE_SCHEDULER" \
    --kubeconfig "$conf/scheduler.kubeconfig" --leader-elect=false --bind-address 127.0.0.1
keep kubelet "$KUBELET" --config "$conf/kubelet.yaml" --kubeconfig "$conf/kubelet.kubeconfig" \
    --hostname-override "$NODE_NAME" --node-ip "$NODE_IP"
# The machine's connection tracking is not ours to set.
keep kube-proxy "$KUBE_PROXY" --kubeconfig "$conf/proxy.kubeconfig" --proxy-mode iptables \
    --hostname-override "$NODE_NAME" --cluster-cidr "$POD_CIDR" --conntrack-max-per-core 0 \
    --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0
keep coredns "$COREDNS" -conf "$conf/Corefile"

# The provisioner makes volumes as folders that only root may write to, and a hostPath volume takes
# no fsGroup; pods here never run as root. The sticky bit marks those that are done.
volumes=/tmp/hostpath_pv
mkdir -p "$volumes"
while true; do
    for volume in "$volumes"/*/; do
        [[ ! -d $volume || -k $volume ]] || chmod 1777 "$volume"
    done
    sleep 0.2
done &

# As process 1 it also inherits the containers' shims and reaps them.
while true; do wait -n; done
