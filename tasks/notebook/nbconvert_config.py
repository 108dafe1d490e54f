"""Configuration of nbconvert: runs cells as it does itself, and then waits for late outputs.

Deno's kernel (2.9) may send what a cell printed, or its result, after it has said that the cell is done. Jupyter's pages
take that in; nbclient has stopped listening, and on a busy machine outputs would be missing.
"""

from queue import Empty

from nbclient.exceptions import CellExecutionComplete
from nbclient.util import ensure_async, run_sync
from nbconvert.preprocessors import ExecutePreprocessor

# seconds without a message after which a cell's outputs are complete
QUIET = 1


class PatientPreprocessor(ExecutePreprocessor):
    def preprocess_cell(self, cell, resources, index):
        cell, resources = super().preprocess_cell(cell, resources, index)
        if cell.cell_type != "code":
            return cell, resources
        while True:
            try:
                message = self.next_message()
            except Empty:
                return cell, resources
            try:
                self.process_message(message, cell, index)
            except CellExecutionComplete:
                pass

    def next_message(self):
        return run_sync(self._next_message)()

    async def _next_message(self):
        return await ensure_async(self.kc.iopub_channel.get_msg(timeout=QUIET))


c = get_config()  # noqa: F821 (nbconvert defines it)
c.NotebookExporter.preprocessors = [PatientPreprocessor]
