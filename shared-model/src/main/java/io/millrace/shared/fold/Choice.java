package io.millrace.shared.fold;

import io.millrace.shared.proto.End;
import io.millrace.shared.proto.Tokens;
import org.jspecify.annotations.Nullable;

/** The accepted output of one choice. */
final class Choice {

    private final @Nullable IdList ids;
    private final @Nullable StringBuilder text;
    private int accepted;
    private @Nullable End end;

    Choice(JournalFold.Keep keep) {
        ids = keep == JournalFold.Keep.COUNTS ? null : new IdList();
        text = keep == JournalFold.Keep.IDS_AND_TEXT ? new StringBuilder() : null;
    }

    void accept(Tokens tokens) {
        accepted += tokens.getIdsCount();
        if (ids != null) {
            for (int i = 0; i < tokens.getIdsCount(); i++) {
                ids.add(tokens.getIds(i));
            }
        }
        if (text != null) {
            text.append(tokens.getText());
        }
    }

    void accept(End record) {
        end = record;
        if (text != null) {
            text.append(record.getText());
        }
    }

    int accepted() {
        return accepted;
    }

    @Nullable
    End end() {
        return end;
    }

    int[] ids() {
        if (ids == null) {
            throw new IllegalStateException("this fold keeps counts only");
        }
        return ids.toArray();
    }

    String text() {
        if (text == null) {
            throw new IllegalStateException("this fold keeps no text");
        }
        return text.toString();
    }
}
