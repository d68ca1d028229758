# Millrace in a container: the jars that ./millrace build makes, on any image with a JRE 25 and a shell.
#   ./millrace image-context && docker build -t millrace .
ARG BASE=eclipse-temurin:25-jre
FROM ${BASE}
# Volumes that are mounted here take their owner from these folders.
RUN mkdir -p /var/lib/millrace/data /var/lib/millrace/models && chown -R 10001:10001 /var/lib/millrace
USER 10001:10001
WORKDIR /var/lib/millrace
ENV MILLRACE_HOME=/var/lib/millrace MILLRACE_CACHE=/var/lib/millrace/models DJL_CACHE_DIR=/var/lib/millrace/natives OPT_OUT_TRACKING=true
# What others made changes seldom, so a new build of Millrace is a layer of 2 MB.
COPY target/image/lib /opt/millrace/lib
COPY target/image/app /opt/millrace/app
# In the exec form, so that SIGTERM reaches Java.
ENTRYPOINT ["java", "-XX:MaxRAMPercentage=40", "-XX:+ExitOnOutOfMemoryError", "-Duser.home=/var/lib/millrace", "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "-cp", "/opt/millrace/app/*:/opt/millrace/lib/*", "io.millrace.standalone.Main"]
