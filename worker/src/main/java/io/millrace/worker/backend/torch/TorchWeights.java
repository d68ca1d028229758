package io.millrace.worker.backend.torch;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import io.millrace.worker.program.Op;
import io.millrace.worker.program.StepProgram;
import io.millrace.worker.program.TensorInfo;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** The weights of a program in float32, by handle: matrices for products, tables for the embedding, vectors. */
final class TorchWeights {

    private final Map<Integer, Matrix> matrices = new HashMap<>();
    private final Map<Integer, PtNDArray> arrays = new ConcurrentHashMap<>();

    private TorchWeights() {}

    /** Weights that are there already, by handle. */
    static TorchWeights of(Map<Integer, Matrix> matrices, Map<Integer, PtNDArray> arrays) {
        TorchWeights weights = new TorchWeights();
        weights.matrices.putAll(matrices);
        weights.arrays.putAll(arrays);
        return weights;
    }

    Matrix matrix(int handle) {
        return Objects.requireNonNull(matrices.get(handle));
    }

    /** A vector [n], a table [rows, n], or a matrix for each head [heads, in, out]. */
    PtNDArray array(int handle) {
        return Objects.requireNonNull(arrays.get(handle));
    }

    /** Bytes that loading will take. */
    static long bytes(StepProgram program) {
        Uses uses = new Uses(program);
        long values = 0;
        for (int handle = 0; handle < program.tensors().size(); handle++) {
            TensorInfo info = program.tensor(handle);
            if (info.role() == TensorInfo.Role.WEIGHT) {
                long size = info.shape().stream().mapToLong(Integer::longValue).reduce(1, Math::multiplyExact);
                int copies = (uses.isMatrix(handle) ? 1 : 0)
                        + (uses.isArray(handle) ? 1 : 0)
                        + (uses.perHead(handle) == null ? 0 : 1);
                values += copies * size;
            }
        }
        return values * Float.BYTES;
    }

    /** Reads everything, in parallel, largest first. */
    static TorchWeights load(
            StepProgram program,
            Map<String, WeightSlot> slots,
            WeightSource source,
            Arena arena,
            PtNDManager manager,
            ThreadTeam team,
            LoadProgress progress) {
        TorchWeights weights = new TorchWeights();
        Uses uses = new Uses(program);
        List<Piece> pieces = new ArrayList<>();
        Map<Integer, List<Matrix.Slab>> slabs = new HashMap<>();
        for (int handle = 0; handle < program.tensors().size(); handle++) {
            TensorInfo info = program.tensor(handle);
            if (info.role() != TensorInfo.Role.WEIGHT) {
                continue;
            }
            WeightSlot slot = Objects.requireNonNull(slots.get(info.name()), info.name());
            WeightTensor tensor = Decoder.stored(source, slot);
            if (uses.isArray(handle)) {
                pieces.addAll(weights.arrayPieces(handle, slot, tensor, arena, manager));
            }
            PerHead perHead = uses.perHead(handle);
            if (perHead != null) {
                int at = handle;
                pieces.add(
                        new Piece(slot.elements(), () -> weights.arrays.put(at, perHead.load(tensor, arena, manager))));
            }
            if (uses.isMatrix(handle)) {
                int threads = team.threads();
                int out = slot.shape().getFirst();
                int[] bounds = Matrix.bounds(out, threads);
                Matrix.Slab[] loaded = new Matrix.Slab[bounds.length - 1];
                int in = slot.shape().getLast();
                for (int i = 0; i < loaded.length; i++) {
                    int part = i;
                    pieces.add(new Piece((long) in * (bounds[i + 1] - bounds[i]), () -> {
                        loaded[part] = Matrix.load(tensor, in, bounds[part], bounds[part + 1], arena, manager);
                    }));
                }
                slabs.put(handle, java.util.Arrays.asList(loaded));
            }
        }
        run(pieces, team, progress);
        slabs.forEach((handle, parts) -> {
            List<Integer> shape = program.tensor(handle).shape();
            weights.matrices.put(handle, Matrix.of(shape.getFirst(), shape.getLast(), parts));
        });
        return weights;
    }

    private List<Piece> arrayPieces(
            int handle, WeightSlot slot, WeightTensor tensor, Arena arena, PtNDManager manager) {
        long[] shape = slot.shape().stream().mapToLong(Integer::longValue).toArray();
        MemorySegment memory = arena.allocate(slot.elements() * Float.BYTES, 64);
        arrays.put(handle, Matrix.wrap(memory, manager, shape));
        long rows = Dequantizer.rows(tensor);
        long columns = Dequantizer.columns(tensor);
        List<Piece> pieces = new ArrayList<>();
        long step = Math.max(1, (1 << 20) / columns);
        for (long first = 0; first < rows; first += step) {
            long from = first;
            long count = Math.min(step, rows - first);
            pieces.add(new Piece(
                    count * columns,
                    () -> Dequantizer.finiteRows(
                            tensor,
                            from,
                            count,
                            memory.asSlice(from * columns * Float.BYTES, count * columns * Float.BYTES))));
        }
        return pieces;
    }

    private static void run(List<Piece> pieces, ThreadTeam team, LoadProgress progress) {
        pieces.sort(Comparator.comparingLong(Piece::values).reversed());
        long total = pieces.stream().mapToLong(Piece::values).sum();
        long[] done = {0};
        team.parallel(pieces.size(), (i, thread) -> {
            pieces.get(i).load().run();
            synchronized (done) {
                done[0] += pieces.get(i).values();
                progress.at("weights", (double) done[0] / total);
            }
        });
    }

    /** A share of the work. */
    private record Piece(long values, Runnable load) {}

    /**
     * A matrix [heads * n, m] as one for each head: [heads, n, m], or turned [heads, m, n].
     */
    private record PerHead(int heads, boolean turned) {

        PtNDArray load(WeightTensor tensor, Arena arena, PtNDManager manager) {
            int m = (int) Dequantizer.columns(tensor);
            int n = (int) (Dequantizer.rows(tensor) / heads);
            MemorySegment memory = arena.allocate((long) heads * n * m * Float.BYTES, 64);
            float[] head = new float[n * m];
            for (int h = 0; h < heads; h++) {
                Dequantizer.finiteRows(tensor, (long) h * n, n, head, 0);
                float[] kept = turned ? turn(head, n, m) : head;
                MemorySegment.copy(
                        kept, 0, memory, ValueLayout.JAVA_FLOAT, (long) h * n * m * Float.BYTES, kept.length);
            }
            return turned ? Matrix.wrap(memory, manager, heads, m, n) : Matrix.wrap(memory, manager, heads, n, m);
        }

        private static float[] turn(float[] values, int n, int m) {
            float[] result = new float[values.length];
            for (int i = 0; i < n; i++) {
                for (int j = 0; j < m; j++) {
                    result[j * n + i] = values[i * m + j];
                }
            }
            return result;
        }
    }

    /** How each weight is used. */
    private static final class Uses {
        private final Set<Integer> matrices = new HashSet<>();
        private final Set<Integer> arrays = new HashSet<>();
        private final Map<Integer, PerHead> perHead = new HashMap<>();

        Uses(StepProgram program) {
            for (Op op : program.ops()) {
                switch (op) {
                    case Op.Embed o -> arrays.add(o.table());
                    case Op.RmsNorm o -> arrays.add(o.weight());
                    case Op.Linear o -> {
                        matrices.addAll(o.weights());
                        arrays.addAll(o.biases());
                    }
                    case Op.Logits o -> matrices.add(o.weight());
                    case Op.LayerNorm o -> arrays.addAll(List.of(o.weight(), o.bias()));
                    case Op.EmbedPositions o -> arrays.add(o.table());
                    case Op.EmbedTypes o -> arrays.add(o.table());
                    case Op.MoeRoute o -> matrices.add(o.weight());
                    case Op.MoeExperts o -> {
                        matrices.addAll(o.gates());
                        matrices.addAll(o.ups());
                        matrices.addAll(o.downs());
                    }
                    case Op.LatentAttention o -> {
                        perHead.put(o.keyUp(), new PerHead(o.heads(), false));
                        perHead.put(o.valueUp(), new PerHead(o.heads(), true));
                    }
                    default -> {}
                }
            }
        }

        boolean isMatrix(int handle) {
            return matrices.contains(handle);
        }

        boolean isArray(int handle) {
            return arrays.contains(handle);
        }

        @Nullable
        PerHead perHead(int handle) {
            return perHead.get(handle);
        }
    }
}
