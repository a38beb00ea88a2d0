# A shell script's work without new processes: arithmetic, strings, case, functions. usage: shell.sh ROUNDS
step() {
    case $1 in
    *0) word="$word$1" ;;
    *5) word=${word#?} ;;
    esac
    sum=$(((sum * 31 + $1) % 1000003))
}
sum=0 word= i=0
while [ $i -lt "$1" ]; do
    step $i
    [ ${#word} -gt 60 ] && word=${word%%5*}
    i=$((i + 1))
done
echo "$sum-${#word}"
