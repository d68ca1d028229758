package io.millrace.gateway.stream;

import io.millrace.shared.id.RequestId;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.CRC32C;

/**
 * A place in a stream, as it stands in the {@code id:} of an event: {@code REQ-BEGIN-OFFSET-K-CHECK}. The check, a
 * CRC-32C over the request's id and the numbers, finds what was mistyped or belongs to another stream; it keeps no secret, since
 * whoever resumes must own the request.
 *
 * @param req offset of the call's first request in its partition of {@code requests}
 * @param begin offset in {@code responses} at which the first journal of the call begins
 * @param offset of the record that the event came from
 * @param k number of the event among those of the record
 */
public record Cursor(long req, long begin, long offset, int k) {

    private static final Pattern FORM = Pattern.compile("(\\d{1,18})-(\\d{1,18})-(\\d{1,18})-(\\d{1,9})-([0-9a-f]{8})");

    /** The cursor of that text for that request; throws 400 when it is none. */
    public static Cursor parse(RequestId request, String text) {
        Matcher form = FORM.matcher(text);
        if (form.matches()) {
            Cursor cursor = new Cursor(
                    Long.parseLong(form.group(1)),
                    Long.parseLong(form.group(2)),
                    Long.parseLong(form.group(3)),
                    Integer.parseInt(form.group(4)));
            if (cursor.text(request.text()).equals(text)) {
                return cursor;
            }
        }
        throw new ApiException(
                ApiError.of(
                        400,
                        "invalid_event_id",
                        "Last-Event-ID",
                        "[MR-GW-020] The event id is not one of this stream's. Send the last 'id:' that you received, unchanged."));
    }

    /** Its form in the events of that request. */
    String text(String request) {
        String numbers = req + "-" + begin + "-" + offset + "-" + k;
        CRC32C check = new CRC32C();
        check.update((request + "-" + numbers).getBytes(StandardCharsets.UTF_8));
        return numbers + "-" + "%08x".formatted(check.getValue());
    }
}
