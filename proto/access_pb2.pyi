from genai_platform.v1.access_pb2 import *
from genai_platform.v1.access_pb2 import DESCRIPTOR as DESCRIPTOR
