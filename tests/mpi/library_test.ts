import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../../lib/errors.ts";
import { findMpiLibrary, openMpiLibrary } from "../../lib/mpi/library.ts";
import { launchedRanks } from "../../lib/mpi/mpi.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("the number of ranks is that of the launcher; a process that none has started is alone", () => {
  const cases: [Record<string, string>, number][] = [
    [{}, 1],
    [{ OMPI_COMM_WORLD_SIZE: "4" }, 4],
    [{ PMI_SIZE: "3" }, 3],
    [{ PMIX_RANK: "0", SLURM_STEP_NUM_TASKS: "8" }, 8],
    // a shell of a batch job, in which nothing of MPI was started
    [{ SLURM_STEP_NUM_TASKS: "8" }, 1],
    [{ PMI_SIZE: "many" }, 1],
  ];
  for (const [variables, ranks] of cases) {
    assert.equal(launchedRanks(variables), ranks, JSON.stringify(variables));
  }
});

Deno.test("the library is the launcher's: beside it or in the environment's folders, unless one is named", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [folder, prefix] = [join(directory, "libraries"), join(directory, "mpi")];
    for (const path of [folder, join(prefix, "bin"), join(prefix, "lib")]) {
      await Deno.mkdir(path, { recursive: true });
    }
    const make = async (...path: string[]) => {
      await Deno.writeTextFile(join(...path), "");
      return join(...path);
    };
    await make(prefix, "bin", "mpirun");
    const [openMpi, mpich, beside] = [
      await make(folder, "libmpi.so.40"),
      await make(folder, "libmpich.so.12"),
      await make(prefix, "lib", "libmpich.so.12"),
    ];
    const [LD_LIBRARY_PATH, PATH] = [folder, join(prefix, "bin")];
    assert.equal(await findMpiLibrary({ OMPI_COMM_WORLD_SIZE: "2", LD_LIBRARY_PATH }), openMpi);
    assert.equal(await findMpiLibrary({ PMI_SIZE: "2", LD_LIBRARY_PATH, PATH }), mpich);
    const realBeside = await Deno.realPath(beside);
    assert.equal(await findMpiLibrary({ PMI_SIZE: "2", PATH }), realBeside);
    assert.equal(
      await findMpiLibrary({ PMI_SIZE: "2", PATH, DENOISE_MPI_LIBRARY: "/opt/x.so" }),
      "/opt/x.so",
    );
  });
});

Deno.test("a file that is no library of MPI is refused by its name", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = join(directory, "libmpi.so.40");
    await Deno.writeTextFile(path, "no library");
    assert.throws(
      () => openMpiLibrary(path),
      (error) =>
        error instanceof ConfigError &&
        /^DENOISE_MPI_LIBRARY: expected a library of MPI that can be loaded .*libmpi\.so\.40/.test(
          error.message,
        ),
    );
  });
});
