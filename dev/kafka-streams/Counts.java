// A Kafka Streams job that counts the events of each account, exactly once, with commits every 100 ms.
// `cargo xtask bench --only latency` runs it from this source, beside `weir process` on the same events.

import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

class Counts {
    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 5) {
            System.err.println("usage: Counts BROKERS EVENTS COUNTS PARTITIONS STATE_DIR");
            System.exit(2);
        }
        String brokers = arguments[0], events = arguments[1], counts = arguments[2];
        int partitions = Integer.parseInt(arguments[3]);

        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, counts);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put("auto.offset.reset", "earliest");
        try (Admin admin = Admin.create(settings)) {
            admin.createTopics(List.of(new NewTopic(counts, partitions, (short) 1))).all().get();
        }
        // Whoever started it may read it now.
        System.out.println(counts);

        StreamsBuilder builder = new StreamsBuilder();
        Materialized<Bytes, Long, KeyValueStore<Bytes, byte[]>> inMemory =
                Materialized.<Bytes, Long>as(Stores.inMemoryKeyValueStore("counts"))
                        .withKeySerde(Serdes.Bytes())
                        .withValueSerde(Serdes.Long());
        builder.stream(events, Consumed.with(Serdes.Bytes(), Serdes.ByteArray()))
                .groupByKey(Grouped.with(Serdes.Bytes(), Serdes.ByteArray()))
                .count(inMemory)
                .toStream()
                .to(counts, Produced.with(Serdes.Bytes(), Serdes.Long()));

        KafkaStreams job = new KafkaStreams(builder.build(), settings);
        Runtime.getRuntime().addShutdownHook(new Thread(job::close));
        job.start();
        // Whoever started it closes its standard input when it has seen enough.
        while (System.in.read() >= 0) {}
        System.exit(0);
    }
}
