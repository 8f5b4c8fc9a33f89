def retries():
    return 4
