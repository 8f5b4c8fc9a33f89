def retries():
    return 3
