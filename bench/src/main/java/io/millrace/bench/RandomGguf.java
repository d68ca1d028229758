package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.ByteAlphabet;
import io.millrace.worker.text.vocab.TokenType;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/**
 * A GGUF file of random weights, with small factors so that activations stay ordinary numbers. Without a vocabulary it is for engines; with one, of
 * bytes and made-up words, a server can serve it.
 */
final class RandomGguf {

    private static final int ALIGNMENT = 32;
    private static final int CONTEXT = 16_384;
    private static final int BYTES = 256;

    /** Random blocks are repeated after this many bytes. */
    private static final int PERIOD = 1 << 22;

    private record Tensor(String name, int rows, int columns, WeightMix.@Nullable Block block) {
        long bytes() {
            return block == null ? (long) columns * Float.BYTES : (long) rows * columns / block.values * block.bytes;
        }
    }

    private final BenchShape shape;
    private final WeightMix mix;
    private final boolean served;
    private final List<Tensor> tensors = new ArrayList<>();
    private final ByteArrayOutputStream head = new ByteArrayOutputStream();

    private RandomGguf(BenchShape shape, WeightMix mix, boolean served) {
        this.shape = shape;
        this.mix = mix;
        this.served = served;
    }

    /** The file of this shape and mix in the folder; it is made when it is not there. MR-BENCH-001 when it cannot be written. */
    static Path in(Path folder, BenchShape shape, WeightMix mix) {
        return made(folder, "random-" + shape.name() + "-" + mix, new RandomGguf(shape, mix, false));
    }

    /** The same with a vocabulary and a chat template. @param shape with 258 ids or more */
    static Path servedIn(Path folder, BenchShape shape, WeightMix mix) {
        return made(folder, "served-" + shape.name() + "-" + mix, new RandomGguf(shape, mix, true));
    }

    private static Path made(Path folder, String name, RandomGguf made) {
        Path file = folder.resolve(name + ".gguf");
        if (!Files.isRegularFile(file)) {
            try {
                Files.createDirectories(folder);
                Path part = folder.resolve(file.getFileName() + ".part");
                made.write(part);
                Files.move(part, file, StandardCopyOption.ATOMIC_MOVE);
            } catch (IOException e) {
                throw new MillraceException(
                        "MR-BENCH-001", "The model cannot be written to " + file + " (" + e + ").", e);
            }
        }
        return file;
    }

    private void write(Path file) throws IOException {
        list();
        head.writeBytes("GGUF".getBytes(StandardCharsets.US_ASCII));
        u32(3);
        u64(tensors.size());
        metadata();
        long offset = 0;
        for (Tensor tensor : tensors) {
            string(tensor.name());
            WeightMix.Block block = tensor.block();
            u32(block == null ? 1 : 2);
            u64(tensor.columns());
            if (block != null) {
                u64(tensor.rows());
            }
            u32(block == null ? 0 : block.number);
            u64(offset);
            offset += (tensor.bytes() + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        }
        while (head.size() % ALIGNMENT != 0) {
            head.write(0);
        }
        try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(file), PERIOD)) {
            head.writeTo(out);
            for (Tensor tensor : tensors) {
                data(tensor, out);
            }
        }
    }

    private void list() {
        int hidden = shape.hidden();
        matrix("token_embd", shape.vocabulary(), hidden, mix.embedding(hidden));
        vector("output_norm.weight", hidden);
        for (int layer = 0; layer < shape.layers(); layer++) {
            String block = "blk." + layer + ".";
            vector(block + "attn_norm.weight", hidden);
            matrix(block + "attn_q", shape.queries(), hidden, mix.other(hidden));
            matrix(block + "attn_k", shape.keys(), hidden, mix.other(hidden));
            matrix(block + "attn_v", shape.keys(), hidden, mix.sensitive(layer, shape.layers(), hidden));
            if (shape.biased()) {
                vector(block + "attn_q.bias", shape.queries());
                vector(block + "attn_k.bias", shape.keys());
                vector(block + "attn_v.bias", shape.keys());
            }
            matrix(block + "attn_output", hidden, shape.queries(), mix.other(shape.queries()));
            vector(block + "ffn_norm.weight", hidden);
            matrix(block + "ffn_gate", shape.wide(), hidden, mix.other(hidden));
            matrix(block + "ffn_up", shape.wide(), hidden, mix.other(hidden));
            matrix(block + "ffn_down", hidden, shape.wide(), mix.sensitive(layer, shape.layers(), shape.wide()));
        }
    }

    private void matrix(String name, int rows, int columns, WeightMix.Block block) {
        tensors.add(new Tensor(name + ".weight", rows, columns, block));
    }

    private void vector(String name, int width) {
        tensors.add(new Tensor(name, 1, width, null));
    }

    private void metadata() {
        String prefix = shape.architecture() + ".";
        boolean wide = shape.queries() != shape.hidden();
        u64(15 + (served ? 5 : 0) + (wide ? 2 : 0));
        key("general.architecture", 8);
        string(shape.architecture());
        key("general.name", 8);
        string("random " + shape.name());
        number("general.file_type", mix.fileType);
        number("general.quantization_version", 2);
        number(prefix + "context_length", CONTEXT);
        number(prefix + "embedding_length", shape.hidden());
        number(prefix + "block_count", shape.layers());
        number(prefix + "feed_forward_length", shape.wide());
        number(prefix + "attention.head_count", shape.heads());
        number(prefix + "attention.head_count_kv", shape.kvHeads());
        number(prefix + "rope.dimension_count", shape.headDim());
        if (wide) {
            number(prefix + "attention.key_length", shape.headDim());
            number(prefix + "attention.value_length", shape.headDim());
        }
        number(prefix + "vocab_size", shape.vocabulary());
        real(prefix + "rope.freq_base", shape.ropeBase());
        real(prefix + "attention.layer_norm_rms_epsilon", 1e-5f);
        key("tokenizer.ggml.model", 8);
        if (served) {
            string("gpt2");
            vocabulary();
        } else {
            string("no_vocab");
        }
    }

    /** Bytes, each as one token; the one merge that there must be; words that nobody writes; and an end. */
    private void vocabulary() {
        int size = shape.vocabulary();
        ByteAlphabet alphabet = new ByteAlphabet();
        array("tokenizer.ggml.tokens", 8, size);
        for (int id = 0; id < size - 1; id++) {
            string(id < BYTES ? String.valueOf(alphabet.charOf(id)) : id == BYTES ? "qj" : "~" + id + "~");
        }
        string("<|end|>");
        array("tokenizer.ggml.token_type", 5, size);
        for (int id = 0; id < size; id++) {
            u32(id < size - 1 ? TokenType.NORMAL : TokenType.CONTROL);
        }
        array("tokenizer.ggml.merges", 8, 1);
        string("q j");
        number("tokenizer.ggml.eos_token_id", size - 1);
        key("tokenizer.chat_template", 8);
        string("{% for message in messages %}{{ message.content }}{% endfor %}");
    }

    private void array(String name, int type, int length) {
        key(name, 9);
        u32(type);
        u64(length);
    }

    private void data(Tensor tensor, OutputStream out) throws IOException {
        WeightMix.Block block = tensor.block();
        byte[] random = block == null ? ones(tensor) : blocks(block, tensor.bytes());
        long left = tensor.bytes();
        while (left > 0) {
            int n = (int) Math.min(left, random.length);
            out.write(random, 0, n);
            left -= n;
        }
        out.write(new byte[(int) ((ALIGNMENT - tensor.bytes() % ALIGNMENT) % ALIGNMENT)]);
    }

    private static byte[] ones(Tensor tensor) {
        ByteBuffer buffer = buffer((int) tensor.bytes());
        float value = tensor.name().endsWith(".bias") ? 0.01f : 1;
        for (int i = 0; i < tensor.columns(); i++) {
            buffer.putFloat(value);
        }
        return buffer.array();
    }

    private static byte[] blocks(WeightMix.Block block, long wanted) {
        int count = (int) Math.min(wanted / block.bytes, PERIOD / block.bytes);
        SplittableRandom random = new SplittableRandom(1);
        byte[] bytes = new byte[count * block.bytes];
        random.nextBytes(bytes);
        ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        for (int b = 0; b < count; b++) {
            if (block == WeightMix.Block.BF16) {
                float value = (random.nextInt(200) - 100) * 5e-4f;
                buffer.putShort(b * 2, (short) (Float.floatToRawIntBits(value) >>> 16));
            }
            for (int at : block.halves) {
                buffer.putShort(b * block.bytes + at, Float.floatToFloat16(block.factor));
            }
        }
        return bytes;
    }

    private void number(String name, int value) {
        key(name, 4);
        u32(value);
    }

    private void real(String name, float value) {
        key(name, 6);
        u32(Float.floatToRawIntBits(value));
    }

    private void key(String name, int type) {
        string(name);
        u32(type);
    }

    private void string(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        u64(bytes.length);
        head.writeBytes(bytes);
    }

    private void u32(int value) {
        head.writeBytes(buffer(4).putInt(value).array());
    }

    private void u64(long value) {
        head.writeBytes(buffer(8).putLong(value).array());
    }

    private static ByteBuffer buffer(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }
}
