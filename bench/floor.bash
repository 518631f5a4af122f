#!/bin/bash
# bench/floor.bash SOCKET_231 SOCKET_232 SOCKET_233
#
# What a shell can do at best: the same Docker calls as the agents make, in the best order, everything side by side that can
# be. It asks nothing first, checks nothing, repeats nothing and would break a swarm it found. Calls go through curl, which
# starts several times faster than docker's own command.
set -euo pipefail
declare -rA sockets=([231]=$1 [232]=$2 [233]=$3)
readonly registry=10.159.62.231 network=my-network-overlay
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

call() {  # call HOST METHOD PATH [JSON]: prints the answer
    curl --silent --show-error --fail-with-body --unix-socket "${sockets[$1]}" --request "$2" "http://docker$3" \
        --header 'Content-Type: application/json' ${4:+--data "$4"}
}

until_there() {  # until_there HOST PATH: asks until the answer is not an error
    until call "$@" >/dev/null 2>&1; do sleep 0.02; done
}

bridge() {  # bridge HOST
    call "$1" POST /networks/create '{"Name": "docker_gwbridge", "Driver": "bridge", "CheckDuplicate": true,
        "IPAM": {"Config": [{"Subnet": "172.21.0.0/20", "Gateway": "172.21.0.1"}]},
        "Options": {"com.docker.network.bridge.enable_icc": "false",
                    "com.docker.network.bridge.name": "docker_gwbridge"}}' >/dev/null
}

init() {  # the first manager, then the token for the others
    call 231 POST /swarm/init '{"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "10.159.62.231",
        "DefaultAddrPool": ["10.0.0.0/16"], "SubnetSize": 24}' >/dev/null
    call 231 GET /swarm | sed 's/.*"Manager":"\(SWMTKN[^"]*\)".*/\1/'
}

join() {  # join HOST TOKEN
    call "$1" POST /swarm/join '{"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "10.159.62.'"$1"'",
        "RemoteAddrs": ["10.159.62.231:2377"], "JoinToken": "'"$2"'"}' >/dev/null
}

overlay() {
    call 231 POST /networks/create '{"Name": "'$network'", "Driver": "overlay", "Attachable": true,
        "IPAM": {"Config": [{"Subnet": "10.10.0.0/16", "Gateway": "10.10.0.254"}]}}' >/dev/null
}

pull() {  # pull HOST SERVICE
    call "$1" POST "/images/create?fromImage=$registry/somecom/$2&tag=1.0.0" >/dev/null
}

create() {  # create HOST SERVICE REPLICA [PORT_OF_THE_HOST PORT_OF_THE_REPLICA]
    local ports='{}'
    if [[ ${4:-} ]]; then ports='{"'$5'/tcp": [{"HostPort": "'$4'"}]}'; fi
    call "$1" POST "/containers/create?name=prod-$2-$3" '{"Image": "'"$registry/somecom/$2"':1.0.0",
        "HostConfig": {"RestartPolicy": {"Name": "always"}, "NetworkMode": "'$network'", "PortBindings": '"$ports"'},
        "NetworkingConfig": {"EndpointsConfig": {"'$network'": {"Aliases": ["'"$2"'"]}}}}' >/dev/null
}

prepare() {  # prepare HOST SERVICE REPLICA...: pulls and creates, which needs no swarm
    pull "$1" "$2"
    create "$@"
}

# `wait` without a job never fails: so every background job is waited for by its own number.
together() {  # together COMMAND...: each argument is one command line
    local command jobs=() job
    for command in "$@"; do
        eval "$command" &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job"; done
}

start() {  # start HOST NAME...: once the network is known on that host
    local name commands=()
    until_there "$1" GET "/networks/$network"
    for name in "${@:2}"; do commands+=("call $1 POST /containers/prod-$name/start"); done
    together "${commands[@]}"
}

first_host() {
    local token
    bridge 231
    token=$(init)
    echo "$token" >"$scratch/new" && mv "$scratch/new" "$scratch/token"
    overlay
    wait_for prepared-231
    start 231 order-1 order-2 console-1
}

other_host() {  # other_host HOST NAME...
    bridge "$1"
    wait_for token
    join "$1" "$(<"$scratch/token")"
    wait_for "prepared-$1"
    start "$@"
}

wait_for() {  # wait_for FILE: another job makes it when it is done
    until [[ -e $scratch/$1 ]]; do sleep 0.01; done
}

prepare_231() {
    together 'pull 231 order' 'prepare 231 console 1 8080 80'
    together 'create 231 order 1' 'create 231 order 2'
    : >"$scratch/prepared-231"
}

prepare_232() {
    together 'prepare 232 order 3' 'prepare 232 billing 1' 'prepare 232 api 1 80 8080'
    : >"$scratch/prepared-232"
}

prepare_233() {
    together 'prepare 233 terminal 1 20880 20880' 'prepare 233 api 2 80 8080'
    : >"$scratch/prepared-233"
}

together first_host 'other_host 232 order-3 billing-1 api-1' 'other_host 233 terminal-1 api-2' \
    prepare_231 prepare_232 prepare_233
