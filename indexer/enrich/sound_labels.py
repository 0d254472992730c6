"""The labels of everyday sounds that audio windows are compared with."""

LABELS_VERSION = "1"  # another one analyzes all audio again
PROMPT_TEMPLATE = "This is a sound of {}."

_VOCABULARY = """
dog barking, dog howling, cat meowing, cat purring,
cow mooing, sheep bleating, goat bleating, pig grunting, horse neighing, horse galloping, rooster crowing,
hens clucking, turkey gobbling, ducks quacking, donkey braying, geese honking,
birds singing, bird chirping, crow cawing, pigeon cooing, owl hooting, seagulls crying,
woodpecker drumming, parrot talking, wings flapping,
crickets chirping, cicadas buzzing, bees buzzing, mosquito whining, frogs croaking, snake hissing,
wolf howling, lion roaring, elephant trumpeting, monkeys screeching, whale song, mouse squeaking,
rain, heavy rain on a roof, thunder, wind, wind in the leaves, hail, fire crackling, footsteps in snow,
ocean waves, river flowing, waterfall, water dripping, water splashing, swimming in water,
bubbles under water,
footsteps, footsteps on gravel, clapping, applause, finger snapping, heartbeat, breathing, snoring,
coughing, sneezing, chewing, throat clearing, yawning, sniffing,
man speaking, woman speaking, child speaking, conversation, crowd talking, radio announcer, whispering,
shouting, screaming, laughing, children playing, baby crying, baby laughing, sobbing, cheering crowd,
crowd chanting,
man singing, woman singing, child singing, choir singing, opera singing, humming, whistling, rapping,
lullaby, beatboxing,
acoustic guitar, electric guitar, bass guitar, banjo, ukulele, violin, cello, double bass, harp, sitar,
string quartet, mandolin,
piano, church organ, harpsichord, synthesizer, accordion, harmonica, flute, clarinet, saxophone, trumpet,
trombone, french horn, tuba, bagpipes, recorder, pan flute,
drum kit, drum roll, hand drum, tambourine, cymbal crash, gong, xylophone, steel drum, triangle,
music box, wind chimes, church bells, cowbell, bicycle bell, bongos, tabla,
classical music, orchestra, brass band, jazz, blues, rock music, heavy metal, pop music, hip hop,
electronic dance music, techno, ambient music, reggae, country music, salsa music, film music,
live concert, record scratching, folk music, marching band, christmas carols, gospel music, flamenco,
disco,
car driving past, car engine starting, engine idling, car horn, car braking, tires screeching, motorcycle,
truck, truck reversing beeps, traffic, tram, skateboard, car crash, tractor, engine revving, race car,
bus,
train passing, train horn, subway train, steam train, railroad crossing bell, airplane flying over,
propeller plane, helicopter, drone flying, rocket launch, motorboat, ship horn,
police siren, ambulance siren, air raid siren, car alarm, smoke alarm, fire alarm bell, alarm clock,
school bell, doorbell, telephone ringing, mobile phone ringtone, phone vibrating, dial tone, beeping,
referee whistle, foghorn, morse code,
hammering, sawing wood, chainsaw, electric drill, jackhammer, angle grinder, chopping wood,
construction site, lawn mower, electric generator, pump, factory machines, sewing machine,
blacksmith at an anvil, welding, leaf blower,
cooking, frying food, boiling water, kettle whistling, chopping vegetables, dishes clinking, blender,
microwave oven, coffee machine, pouring a drink, opening a can, popping a cork, glasses clinking,
washing machine, dishwasher, vacuum cleaner, hair dryer, brushing teeth, shower, toilet flushing,
tap running, sweeping with a broom, air conditioner, fan, refrigerator hum, clock ticking, clock chiming,
door knocking, door slamming, door creaking, keys jingling, zipper, scissors cutting, tearing paper,
crumpling paper, turning pages, plastic bag rustling, coins dropping, match lighting, camera shutter,
keyboard typing, mouse clicking, typewriter, printer, television, radio tuning, video game, slot machine,
video game music,
basketball bouncing, tennis, table tennis, bowling, billiard balls, swimming pool, shuffling cards,
balloon popping, ice skating, roller coaster, dice rolling,
explosion, fireworks, gunshot, machine gun, glass breaking, wood cracking, metal clanging, cannon,
white noise, static, electric hum, high pitched tone, microphone feedback, vinyl crackle, low rumble,
robot voice
"""
UNREPORTED_LABELS = (
    "silence",
    "quiet background noise",
)  # they win where nothing sounds, which is not worth a word

SOUND_LABELS = (*(name.strip() for name in _VOCABULARY.split(",")), *UNREPORTED_LABELS)
