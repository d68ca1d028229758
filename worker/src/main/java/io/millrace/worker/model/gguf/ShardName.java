package io.millrace.worker.model.gguf;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Name of one file of a split GGUF model, as in {@code model-00002-of-00003.gguf}.
 *
 * @param prefix what stands before the numbers, folders included
 * @param number from 1
 * @param count of all
 */
public record ShardName(String prefix, int number, int count) {

    private static final Pattern FORM = Pattern.compile("(.+)-(\\d{5})-of-(\\d{5})\\.gguf");

    /** Null when the name is of another form, or its numbers cannot be. */
    public static @Nullable ShardName parse(String name) {
        Matcher m = FORM.matcher(name);
        if (!m.matches()) {
            return null;
        }
        ShardName shard = new ShardName(m.group(1), Integer.parseInt(m.group(2)), Integer.parseInt(m.group(3)));
        return shard.number >= 1 && shard.number <= shard.count ? shard : null;
    }

    /** The name of one of them. */
    public String name(int which) {
        return String.format(Locale.ROOT, "%s-%05d-of-%05d.gguf", prefix, which, count);
    }

    /** The names of all, in order. */
    public List<String> names() {
        List<String> names = new ArrayList<>();
        for (int i = 1; i <= count; i++) {
            names.add(name(i));
        }
        return names;
    }
}
