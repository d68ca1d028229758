# Millrace in a container: a Java runtime of the modules it uses, the jars that ./millrace image-context lays out, and a cache of
# their classes, made by a short run of every part.
#   ./millrace image-context && docker build -t millrace .
ARG JDK=eclipse-temurin:25-jdk
ARG BASE=debian:bookworm-slim
ARG BUSYBOX=busybox:stable-musl

FROM ${JDK} AS runtime
RUN ["jlink", "--add-modules", "java.desktop,java.instrument,java.management,java.naming,java.net.http,java.rmi,java.security.jgss,java.security.sasl,java.sql,jdk.attach,jdk.httpserver,jdk.jcmd,jdk.jfr,jdk.management,jdk.management.agent,jdk.net,jdk.security.auth,jdk.security.jgss,jdk.unsupported,jdk.zipfs", "--no-header-files", "--no-man-pages", "--compress", "zip-6", "--output", "/runtime"]

FROM ${BUSYBOX} AS busybox

FROM ${BASE}
# Its wget asks for health: not every base has one.
COPY --from=busybox /bin/busybox /opt/busybox
COPY --from=runtime /runtime /opt/java
# What is mounted here takes its owner from these folders.
RUN ["/opt/busybox", "mkdir", "-p", "/var/lib/millrace/data", "/var/lib/millrace/models", "/var/lib/millrace/natives", "/opt/millrace"]
RUN ["/opt/busybox", "chown", "-R", "10001:10001", "/var/lib/millrace", "/opt/millrace"]
USER 10001:10001
WORKDIR /var/lib/millrace
ENV PATH=/opt/java/bin:/usr/bin:/bin JAVA_HOME=/opt/java MILLRACE_HOME=/var/lib/millrace MILLRACE_CACHE=/var/lib/millrace/models \
    DJL_CACHE_DIR=/var/lib/millrace/natives OPT_OUT_TRACKING=true
# What others made changes seldom, so a new build of Millrace is a layer of a few MB and its cache.
COPY target/image/lib /opt/millrace/lib
COPY target/image/app /opt/millrace/app
COPY target/image/java.args /opt/millrace/java.args
RUN ["java", "-XX:AOTCacheOutput=/opt/millrace/millrace.aot", "-Xlog:disable", "@/opt/millrace/java.args", "io.millrace.standalone.Main", "bench", "log", "--requests", "5", "--warm-up", "20", "--out", "/tmp/training"]
# In the exec form, so that SIGTERM reaches Java.
ENTRYPOINT ["java", "-XX:AOTCache=/opt/millrace/millrace.aot", "-Xlog:aot*=off", "@/opt/millrace/java.args", "io.millrace.standalone.Main"]
