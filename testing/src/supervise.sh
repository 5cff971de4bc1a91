# Stops the servers of a run folder and removes it, once no living process has been registered in it for a while.
# Arguments: the run folder, and that while in seconds. It is a program of its own, as whoever uses a server may be
# killed at any moment, and plain POSIX, as it has to run everywhere.
run=$1
grace=$2
trap '' HUP INT

# Is any process registered in folder $1 alive? Forgets those that are not.
in_use() {
    used=1
    for entry in "$1"/*; do
        pid=${entry##*/}
        case $pid in '' | *[!0-9]*) continue ;; esac
        if kill -0 "$pid" 2>/dev/null; then
            # A zombie (where nobody reaps orphans) takes signals, too.
            case $(ps -o stat= -p "$pid" 2>/dev/null) in
            Z*) rm -f "$entry" ;;
            *) used=0 ;;
            esac
        else
            rm -f "$entry"
        fi
    done
    return $used
}

idle=0
while [ -d "$run" ]; do
    if in_use "$run/users"; then
        idle=0
    elif [ "$idle" -ge "$grace" ]; then
        # From here on nobody can register. Whoever did since we looked is in the folder that we closed.
        mv "$run/users" "$run/closed" 2>/dev/null || break
        in_use "$run/closed" || break
        mv "$run/closed" "$run/users"
        idle=0
    fi
    idle=$((idle + 1))
    sleep 1
done

signal() {
    running=1
    for entry in "$run"/*/postmaster.pid "$run"/*/pgbouncer.pid; do
        [ -f "$entry" ] && read -r pid <"$entry" && kill "-$1" "$pid" 2>/dev/null && running=0
    done
    return $running
}

# A frozen server obeys no other signal.
for entry in "$run"/*/postmaster.pid; do
    [ -f "$entry" ] && read -r server <"$entry" || continue
    ps -A -o pid= -o ppid= 2>/dev/null | while read -r pid parent; do
        case $server in "$pid" | "$parent") kill -CONT "$pid" 2>/dev/null ;; esac
    done
done

# INT is PostgreSQL's fast shutdown and QUIT its immediate one; PgBouncer waits for its clients on INT, not on QUIT.
tries=0
if signal INT; then
    while [ "$tries" -lt 10 ] && signal 0; do
        tries=$((tries + 1))
        sleep 1
    done
    signal QUIT && sleep 1
fi
rm -rf "$run"
