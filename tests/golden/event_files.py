"""Writes event_files.json: events as TensorBoard's own protocol buffers encode them, and framed by its own record writer.

With the path of a run's folder of event files as an argument it prints, instead, what TensorBoard's EventAccumulator reads in it: a
check by hand of the files of `deno task train --tensorboard`.
"""

import io
import json
import os
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter, masked_crc32c

TIME = 1764547200.25
PNG = bytes(range(40))


class Kept(io.BytesIO):
    def close(self):
        pass


def framed(data):
    file = Kept()
    RecordWriter(file).write(data)
    return file.getvalue()


def text(tag, content):
    value = Summary.Value(tag=tag)
    value.tensor.dtype = 7
    value.tensor.tensor_shape.dim.add(size=1)
    value.tensor.string_val.append(content.encode())
    value.metadata.plugin_data.plugin_name = "text"
    return value


def plugin(tag, data):
    value = Summary.Value(tag=tag)
    value.tensor.CopyFrom(TensorProto(dtype=1, float_val=[0]))
    value.tensor.tensor_shape.dim.add(size=1)
    value.metadata.plugin_data.plugin_name = hparams.PLUGIN_NAME
    value.metadata.plugin_data.content = plugin_data_pb2.HParamsPluginData(**data).SerializeToString(deterministic=True)
    return value


def start():
    info = plugin_data_pb2.SessionStartInfo(start_time_secs=TIME)
    info.hparams["batch"].number_value = 32
    info.hparams["flip"].bool_value = True
    info.hparams["plain"].bool_value = False
    info.hparams["objective"].string_value = "epsilon ε"
    return plugin(hparams.SESSION_START_INFO_TAG, {"session_start_info": info})


def end():
    info = plugin_data_pb2.SessionEndInfo(status=1, end_time_secs=TIME)
    return plugin(hparams.SESSION_END_INFO_TAG, {"session_end_info": info})


def image():
    picture = Summary.Image(height=3, width=300, colorspace=3, encoded_image_string=PNG)
    return Summary.Value(tag="samples", image=picture)


def summary(step, *values):
    return Event(wall_time=TIME, step=step, summary=Summary(value=values))


EVENTS = {
    "version": Event(wall_time=TIME, file_version="brain.Event:2"),
    "restart": Event(wall_time=TIME, step=201, session_log=SessionLog(status=SessionLog.START)),
    "scalars": summary(
        2**40 + 5,
        Summary.Value(tag="loss/training", simple_value=0.1),
        Summary.Value(tag="loss/validation", simple_value=-2.5),
    ),
    "image": summary(7, image()),
    "text": summary(0, text("settings/text_summary", "| ä | b |")),
    "start": summary(0, start()),
    "end": summary(300, end()),
}


def write():
    cases = {}
    for name, event in EVENTS.items():
        data = event.SerializeToString(deterministic=True)
        cases[name] = framed(data).hex()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "event_files.json")
    with open(path, "w") as file:
        json.dump({"masked_crc32c_of_123456789": masked_crc32c(b"123456789"), "records": cases}, file, indent=1)
        file.write("\n")


def read(folder):
    accumulator = EventAccumulator(folder, size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    accumulator.Reload()
    tags = accumulator.Tags()
    for tag in tags["scalars"]:
        print(tag, [(event.step, round(event.value, 5)) for event in accumulator.Scalars(tag)])
    for tag in tags["images"]:
        print(tag, [(event.step, event.width, event.height, len(event.encoded_image_string)) for event in accumulator.Images(tag)])
    for tag in tags["tensors"]:
        for event in accumulator.Tensors(tag):
            print(tag, event.step, [value.decode() for value in event.tensor_proto.string_val])
    for tag, content in accumulator.PluginTagToContent(hparams.PLUGIN_NAME).items():
        print(tag, plugin_data_pb2.HParamsPluginData.FromString(content))


if len(sys.argv) > 1:
    read(sys.argv[1])
else:
    write()
