"""Words that write_tales.py puts into its plots."""

PEOPLE = ["girl", "boy"]
ANIMALS = [
    "rabbit", "fox", "bear", "mouse", "hedgehog", "squirrel", "badger", "otter", "frog", "duck",
    "goose", "hen", "kitten", "puppy", "lamb", "goat", "pony", "donkey", "pig", "beaver", "mole",
    "raccoon", "deer", "hare", "turtle", "crow", "sparrow", "penguin", "monkey", "elephant", "cat",
    "dog", "lion", "owl", "horse", "cow", "sheep", "snail", "swan", "seal", "tiger", "camel", "bee",
]
FOLK = ["dwarf", "knight", "pirate", "robot", "fairy", "farmer", "sailor", "gnome"]
ADJECTIVES = [
    "little", "small", "young", "kind", "curious", "cheerful", "shy", "clever", "brave", "quiet",
    "merry", "gentle", "friendly", "dreamy", "lively", "bright", "funny", "good-natured",
]
GIRLS = [
    "Lily", "Anna", "Mia", "Rosa", "Clara", "Ella", "Nora", "Emma", "Ida", "Lucy", "Daisy", "Molly",
    "Ruby", "Hazel", "Alice", "Greta", "Flora", "Sophie", "Maya", "Tilda", "Penny", "Willow",
    "Poppy", "Frida", "Juno", "Pearl", "Betty", "Ivy", "Marta", "Olive",
]
BOYS = [
    "Tom", "Max", "Ben", "Leo", "Sam", "Oskar", "Felix", "Jack", "Finn", "Theo", "Hugo", "Emil",
    "Otto", "Peter", "Paul", "Toby", "Oliver", "Anton", "Jonas", "Bruno", "Rusty", "Pip", "Henry",
    "Milo", "Noah", "Casper", "Fritz", "Barney", "Albert", "Robin",
]
HOMES = [
    "in a small house at the edge of the woods", "in a village by the sea", "on a green hill",
    "in a cottage with a red roof", "near a wide river", "in a valley between two mountains",
    "at the end of a long road", "in a little town with crooked streets", "beside an old mill",
    "under the roots of a great oak tree", "on a farm far away from the town",
    "in a house with a blue door", "near a quiet lake", "at the foot of a mountain",
    "in a warm little home behind the church", "not far from the harbour",
]
LOVES = [
    "to play outside", "to sing in the morning", "to climb trees", "to look at the clouds",
    "to collect round stones", "to jump over puddles", "to listen to stories", "to eat blackberries",
    "to run through the high grass", "to count the stars", "to bake little cakes",
    "to draw pictures in the sand", "to watch the boats", "to whistle", "to ask questions",
    "to help in the garden", "to dance in the rain", "to sleep in the sun", "to fly kites",
]
THINGS = [
    "ball", "kite", "key", "hat", "drum", "lantern", "book", "spoon", "basket", "whistle",
    "blanket", "umbrella", "cup", "box", "flute", "top", "doll", "bag", "bell", "kettle", "clock",
    "wagon", "puppet", "bucket", "jar", "mirror", "pillow", "paintbrush", "horn", "chair",
]
COLOURS = [
    "red", "blue", "green", "yellow", "white", "brown", "black", "silver", "golden", "orange",
    "purple", "pink", "grey", "shiny", "striped",
]
# as a noun, with its article or measure
FOODS = [
    ("bread", "a loaf of bread"), ("apple pie", "an apple pie"), ("cake", "a small cake"),
    ("cheese", "a piece of cheese"), ("pancake", "a big pancake"), ("honey cake", "a honey cake"),
    ("plum tart", "a plum tart"), ("sandwich", "a sandwich"), ("gingerbread", "some gingerbread"),
    ("pear", "a ripe pear"), ("melon", "a sweet melon"), ("nut bread", "a nut bread"),
    ("raisin bun", "a raisin bun"), ("pudding", "a pudding"), ("berry pie", "a berry pie"),
]
PLACES = [
    "by the river", "near the old mill", "under the apple tree", "on the hill", "at the pond",
    "behind the barn", "in the meadow", "by the stone bridge", "at the edge of the woods",
    "on the beach", "by the garden wall", "under the big oak", "near the well", "in the orchard",
    "by the wooden fence", "on the village green",
]
GARDEN = ["in the garden", "behind the house", "by the fence", "under the window", "near the gate"]
SEARCH_HOME = [
    "under the bed", "behind the door", "in the cupboard", "under the table", "in the big box",
    "behind the stove", "on the shelf", "under the stairs", "in every drawer", "behind the curtain",
    "under the rug", "in the laundry basket",
]
SEARCH_OUT = [
    "under a bush", "between two stones", "in the high grass", "behind a tree", "beside the path",
    "under the leaves", "among the reeds", "next to a puddle", "between the roots", "under a fern",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
WOOL = ["scarf", "hat", "cap", "shawl"]
SKILLS = [
    "swim", "whistle", "skate", "jump over the stream", "play the flute", "ride a bicycle", "dance",
    "stand on one leg", "juggle", "climb the tall pine", "skip stones", "walk on stilts",
]
PARENTS = ["mother", "father", "grandmother", "grandfather", "aunt", "uncle"]
FEMALE_PARENTS = {"mother", "grandmother", "aunt"}
# name and whether a woman
ELDERS = [
    ("Grandmother Owl", True), ("old Mister Badger", False), ("the baker", False),
    ("Aunt Rosalind", True), ("the old gardener", False), ("Mother Goose", True),
    ("Mister Toad", False), ("the miller", False), ("old Mrs. Hare", True),
    ("the shepherd", False), ("Grandfather Mole", False), ("the weaver", True),
    ("Mrs. Sparrow", True), ("the old fisherman", False), ("Doctor Stork", False),
]
ASIDES = [
    "A light wind went through the trees.", "Somewhere a dog barked.", "Everything was quiet.",
    "A bird called in the distance.", "The church bell rang far away.", "A leaf came sailing down.",
    "It was very still.", "Somewhere a door closed.", "The wind had gone to sleep.",
    "A beetle walked slowly across the path.", "Far away somebody was singing.",
    "It smelled of grass and earth.", "The air was fresh and clear.", "Time went by.",
]
OPENINGS = [
    "Once upon a time, there was {h.a} named {h}.",
    "Once upon a time, there was {h.a} named {h}.",
    "Once upon a time, there was {h.a} named {h}.",
    "Once upon a time, there lived {h.a} named {h}.",
    "Once upon a time, there lived {h.a}. {h.his} name was {h}.",
    "Once there was {h.a} called {h}.",
    "There once was {h.a} whose name was {h}.",
    "Long ago, there lived {h.a} named {h}.",
    "{home}, there lived {h.a} named {h}.",
    "{h} was {h.a}.",
    "This is the story of {h}, {h.a}.",
]
HOME_LINES = [
    "{h} lived {home}.", "{h.he} lived {home} with {h.his} {par}.", "{h.his} home was {home}.",
    "{h} lived {home}, where nobody was ever in a hurry.", "{h} and {h.his} {par} lived {home}.",
]
LOVE_LINES = [
    "{h.he} loved {love}.", "{h} liked {love} and {love2}.", "Most of all, {h.he} liked {love}.",
    "What {h.he} liked best was {love}.", "Every day {h.he} found time {love}.",
]
FRIEND_LINES = [
    "{h.his} best friend was {f.a} named {f}.", "{h} had a friend, {f.a} named {f}.",
    "Next door lived {f}, {f.a}, and the two were good friends.",
    "{h.he} often played with {f}, {f.a} from the neighbourhood.",
    "{h} was never lonely, for {h.he} had {f}, {f.a} who lived nearby.",
]
# what a person may ask for; {topic} is the plot's
REQUESTS = [
    "Tell me a story about {h.bare} {topic}.", "Tell me a story about {h.bare}.",
    "Write a short tale about {h.bare} {topic}.", "Please tell me a story about {h.bare} and {f.bare}.",
    "Can you tell a story about {h.bare} {topic}?", "I would like a story about {h.bare}.",
    "A story about {h.bare} called {h}, please.", "Write a story with {h.bare}, {f.bare} and a {t}.",
    "Tell a tale of {h.bare} {topic}.", "Do you know a story about {h.bare} {topic}?",
    "Tell me about {h}, {h.bare} {topic}.", "Write a bedtime story about {h.bare}.",
]
ANY_REQUESTS = [
    "Tell me a story.", "Tell me a story", "Tell me a tale.", "Write a story.",
    "Please tell me a bedtime story.", "I want to hear a story.", "Do you know a good story?",
    "Write a short story.", "Can you tell me a fairy tale?", "A story, please!",
]
MORE = ["Another one, please.", "Tell me another story.", "One more!", "And now another one?"]
SMALL_TALK = [
    (["Hello!", "Hi", "Hi there", "Hello", "Good morning", "Good evening!", "Hey!"],
     ["Hello! Shall I tell you a story?", "Hello! Name an animal, and I will tell a story about it.",
      "Good day! Would you like to hear a story?"]),
    (["Who are you?", "What are you?", "What is your name?"],
     ["I am a very small language model. I can tell little stories, and not much else.",
      "I am a small model that tells stories. Name an animal, and I will begin."]),
    (["What can you do?", "Can you help me?", "Help me, please.", "How does this work?"],
     ["I can tell short stories. Say, for example: Tell me a story about a fox who lost a key.",
      "I tell stories. Ask me for one about a bear, a mouse or a girl."]),
    (["Thank you!", "Thanks", "That was nice.", "I liked that story."],
     ["You are welcome. Shall I tell another one?", "I am glad that you liked it!"]),
    (["What is 2 + 2?", "Who is the president?", "What is the capital of France?", "Write a program.",
      "What time is it?", "How is the weather?", "Explain physics to me.", "Translate this for me."],
     ["I do not know that, for I am very small. But I can tell you a story.",
      "That is too hard for a model as small as I am. Shall I tell you a story instead?"]),
    (["Good night!", "Good night.", "Bye", "Goodbye!"],
     ["Good night, and sweet dreams!", "Goodbye! Come back when you want to hear a story."]),
]
SYSTEMS = [
    "You are a helpful assistant.", "You tell stories.", "You are a storyteller.",
    "You are a friendly assistant that tells short stories for children.",
]
