# Python's byte code and packages.

source='def f(x):\n    return x in {"alpha", "beta", "gamma", "delta"}\n'

pair pyc-time app/__pycache__/a.pyc pyc-time 'AT="2026-11-20 08:01:59"' 'AT="2026-11-21 17:23:11"' \
    'printf "def f():\n    return 1\n" >a.py; touch -d "$AT" a.py; /usr/bin/python3 -c "import py_compile; py_compile.compile(\"a.py\", \"app/__pycache__/a.pyc\")"'
pair pyc-path app/__pycache__/a.pyc build-path 'D=/tmp/compare-corpus/one' 'D=/tmp/compare-corpus/elsewhere/two' \
    'mkdir -p $D; printf "def f():\n    return 1\n" >$D/a.py; touch -d @1000000000 $D/a.py; /usr/bin/python3 -c "import py_compile, sys; py_compile.compile(sys.argv[1] + \"/a.py\", \"app/__pycache__/a.pyc\")" $D'
# From 3.11 on Python sorts them.
pair pyc-set-order app/__pycache__/a.pyc file-order 'S=1' 'S=2' \
    'printf "'"${source//\"/\\\"}"'" >a.py; touch -d @1000000000 a.py; PYTHONHASHSEED=$S $OLD_PYTHON -c "import py_compile; py_compile.compile(\"a.py\", \"app/__pycache__/a.pyc\")"'
pair pyc-version app/__pycache__/a.pyc toolchain 'P=/usr/bin/python3' 'P=$OTHER_PYTHON' \
    'printf "def f():\n    return 1\n" >a.py; touch -d @1000000000 a.py; $P -c "import py_compile; py_compile.compile(\"a.py\", \"app/__pycache__/a.pyc\")"'
pair pyc-time-and-path app/__pycache__/a.pyc 'build-path pyc-time' 'D=/tmp/compare-corpus/one; AT=@1795161719' 'D=/tmp/compare-corpus/elsewhere/two; AT=@1795281791' \
    'mkdir -p $D; printf "def f():\n    return 1\n" >$D/a.py; touch -d $AT $D/a.py; /usr/bin/python3 -c "import py_compile, sys; py_compile.compile(sys.argv[1] + \"/a.py\", \"app/__pycache__/a.pyc\")" $D'
pair pyc-source app/__pycache__/a.pyc none 'N=1' 'N=2' \
    'printf "def f():\n    return $N\n" >a.py; touch -d @1000000000 a.py; /usr/bin/python3 -c "import py_compile; py_compile.compile(\"a.py\", \"app/__pycache__/a.pyc\")"'
pair python-version-text app/about.txt toolchain 'P=/usr/bin/python3' 'P=$OTHER_PYTHON' \
    '$P -c "import platform; print(\"Python\", platform.python_version())" >app/about.txt'
