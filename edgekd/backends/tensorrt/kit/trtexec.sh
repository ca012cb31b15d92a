# Sourced by the scripts: calls trtexec without the options that its version does not know.
T=${TRTEXEC:-$(command -v trtexec || echo /usr/src/tensorrt/bin/trtexec)}
known=$("$T" --help)

trtexec() {
    for argument in "$@"; do
        shift
        for option in @OPTIONAL@; do
            case $argument in
                "$option" | "$option="*) case $known in *"$option"*) ;; *) continue 2 ;; esac ;;
            esac
        done
        set -- "$@" "$argument"
    done
    "$T" "$@"
}
