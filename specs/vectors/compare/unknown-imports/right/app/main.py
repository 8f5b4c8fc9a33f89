import sys
import os
import json
