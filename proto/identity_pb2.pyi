from genai_platform.v1.identity_pb2 import *
from genai_platform.v1.identity_pb2 import DESCRIPTOR as DESCRIPTOR
