//! A development root and an NSM emulator: documents of Nitro's shape that prove no hardware.
